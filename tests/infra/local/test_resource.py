"""The providers of the background servers: check, diff, read and failures."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.local import LocalModelServerProvider
from infra.local.server_process import ServerProcess, ServerStartError

PROPS: dict[str, Any] = {
    "modelUri": "file:///models/abc",
    "modelName": "stable-diffusion",
    "host": "127.0.0.1",
    "restPort": 8501.0,
    "grpcPort": 8500.0,
    "queue": 8.0,
    "requestTimeoutSeconds": 60.0,
    "stateFolder": "/nowhere",
}


def test_the_provider_is_pickled_by_name_and_has_no_fields() -> None:
    stored = pickle.dumps(LocalModelServerProvider())
    assert b"infra.local" in stored
    assert len(stored) < 100
    assert LocalModelServerProvider.serialize_as_secret_always is False


def test_equal_inputs_are_no_change() -> None:
    result = LocalModelServerProvider().diff("id", {**PROPS, "pid": 1.0, "endpoint": "x"}, PROPS)
    assert result.changes is False


@pytest.mark.parametrize("key", ["modelUri", "restPort", "grpcPort", "queue"])
def test_a_changed_input_updates_the_server_in_place(key: str) -> None:
    result = LocalModelServerProvider().diff("id", PROPS, {**PROPS, key: "other"})
    assert result.changes is True
    assert not result.replaces


def test_another_state_folder_replaces_the_server_and_stops_the_old_one_first() -> None:
    result = LocalModelServerProvider().diff("id", PROPS, {**PROPS, "stateFolder": "/x"})
    assert result.replaces == ["stateFolder"]
    assert result.delete_before_replace is True


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        ({"grpcPort": 8501.0}, ("grpcPort", "must differ from restPort")),
        ({"modelUri": "gs://b/m"}, ("modelUri", "must be a file:// folder, not gs://b/m")),
    ],
)
def test_a_wrong_input_is_refused_before_anything_starts(
    change: dict[str, Any], failure: tuple[str, str]
) -> None:
    result = LocalModelServerProvider().check({}, {**PROPS, **change})
    assert [(f.property, f.reason) for f in result.failures or []] == [failure]


def test_a_model_that_is_unknown_in_a_preview_is_accepted() -> None:
    assert not LocalModelServerProvider().check({}, {**PROPS, "modelUri": _Unknown()}).failures


def test_refresh_reports_a_stopped_server_as_deleted(tmp_path: Path) -> None:
    result = LocalModelServerProvider().read("id", {**PROPS, "stateFolder": str(tmp_path)})
    assert result.id == ""


def test_deleting_a_stopped_server_does_no_harm(tmp_path: Path) -> None:
    mine = tmp_path / "notes"
    mine.write_text("mine")
    for folder in (tmp_path, tmp_path / "gone"):
        LocalModelServerProvider().delete("id", {**PROPS, "stateFolder": str(folder)})
    assert list(tmp_path.iterdir()) == [mine]


@pytest.fixture
def other_checkouts_server(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """The state folder and the process of a server in another checkout."""
    folder = tmp_path / "A/.state/server"
    folder.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        record = {
            "pid": process.pid,
            "started": psutil.Process(process.pid).create_time(),
            "model_folder": str(tmp_path / "A/.state/models/abc"),
            "host": "127.0.0.1",
            "rest_port": 8501,
        }
        (folder / "server.json").write_text(json.dumps(record))
        yield folder, process
        process.kill()


def test_a_copied_state_reads_and_deletes_no_server_of_the_original(
    other_checkouts_server: tuple[Path, subprocess.Popen[bytes]],
) -> None:
    folder, process = other_checkouts_server
    provider = LocalModelServerProvider()
    assert provider.read("id", {**PROPS, "stateFolder": str(folder)}).id == ""
    provider.delete("id", {**PROPS, "stateFolder": str(folder)})
    assert process.poll() is None
    assert (folder / "server.json").exists()


def test_a_failed_start_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: Any, **__: Any) -> int:
        raise ServerStartError("port 8501 is in use")

    monkeypatch.setattr(ServerProcess, "start", fail)
    with pytest.raises(RuntimeError, match=r"^port 8501 is in use$"):
        LocalModelServerProvider().create({**PROPS, "stateFolder": str(tmp_path)})


class _Unknown:
    """Stand-in for pulumi.output.Unknown: a value that is not a string yet."""
