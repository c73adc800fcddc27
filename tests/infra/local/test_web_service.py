"""The web service in the background: the same care as for the model server, and its own ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pulumi.dynamic.dynamic import serialize_provider

from infra.local import LocalWebServiceProvider
from infra.local.program import WebServiceProgram
from infra.local.server_process import ServerProcess
from infra.local.server_record import RECORD_FILE, log_file, running_server
from render.recorder import ROOT
from tests.infra.local import quick_server
from tests.processes import free_ports, is_running, wait_until


@pytest.fixture
def props(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The resource's properties; `python -m web` is a stand-in, killed at the end if it runs."""
    root = quick_server.write(tmp_path / "project")
    monkeypatch.setattr("infra.local.server_process._PROJECT_ROOT", root)
    port, metrics_port = map(float, free_ports(2))
    yield {
        "modelServer": "127.0.0.1:8500",
        "modelName": "stable-diffusion",
        "host": "127.0.0.1",
        "port": port,
        "metricsPort": metrics_port,
        "queue": 8.0,
        "requestTimeoutSeconds": 60.0,
        "stateFolder": str(tmp_path / "web"),
    }
    for process in psutil.process_iter(["cmdline"]):
        if f"--port={port:.0f}" in (process.info["cmdline"] or []):
            process.kill()


def created(props: dict[str, Any]) -> dict[str, Any]:
    outs = LocalWebServiceProvider().create(props).outs
    assert outs is not None
    return outs


@pytest.mark.slow
def test_a_web_service_runs_from_create_to_delete(props: dict[str, Any]) -> None:
    provider, folder = LocalWebServiceProvider(), Path(props["stateFolder"])
    outs = created(props)
    assert outs["endpoint"] == f"http://127.0.0.1:{props['port']:.0f}"
    assert outs["logFile"] == str(folder / "web.log") == str(log_file(folder))
    assert provider.read("id", outs).id == "id"
    updated = provider.update("id", outs, {**props, "queue": 9.0}).outs
    assert updated is not None and not is_running(outs["pid"])
    provider.delete("id", updated)
    assert not is_running(updated["pid"]) and not folder.exists()


@pytest.mark.slow
def test_a_killed_web_service_is_reported_as_deleted(props: dict[str, Any]) -> None:
    outs = created(props)
    os.kill(outs["pid"], signal.SIGKILL)
    wait_until(lambda: running_server(Path(props["stateFolder"])) is None, "its end")
    assert LocalWebServiceProvider().read("id", outs).id == ""


@pytest.mark.slow
def test_without_a_lock_it_is_known_by_its_command_though_the_clock_was_set(
    props: dict[str, Any],
) -> None:
    outs, folder = created(props), Path(props["stateFolder"])
    record = folder / RECORD_FILE
    unlocked = json.loads(record.read_text()) | {"locked": False, "started": 1.0}
    record.unlink()
    record.write_text(json.dumps(unlocked))
    assert LocalWebServiceProvider().read("id", outs).id == "id"
    record.write_text(json.dumps(unlocked | {"serves": "127.0.0.1:1"}))
    assert LocalWebServiceProvider().read("id", outs).id == ""


@pytest.mark.slow
def test_a_web_service_ends_if_its_deployment_is_killed(props: dict[str, Any]) -> None:
    folder = Path(props["stateFolder"])
    code = (
        "import os, sys; from pathlib import Path; from infra.local import LocalWebServiceProvider;"
        "from infra.local import server_process as module;"
        f"module._PROJECT_ROOT = Path({str(folder.parent / 'project')!r});"
        "module.ServerProcess._keep_running = lambda *_: os.kill(os.getpid(), 9);"
        f"LocalWebServiceProvider().create({props!r})"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    wait_until(lambda: running_server(folder) is None, "the web service to end")
    assert LocalWebServiceProvider().read("id", created(props)).id == "id"
    ServerProcess(folder).stop()


def test_a_port_in_use_is_reported_with_the_setting(props: dict[str, Any]) -> None:
    with (
        socket.create_server(("127.0.0.1", int(props["metricsPort"]))),
        pytest.raises(RuntimeError, match=r"(?s)is in use by another .*:webMetricsPort: \d+$"),
    ):
        created(props)
    assert not Path(props["stateFolder"]).exists()


def test_a_web_service_that_does_not_start_is_one_line_with_the_end_of_its_log(
    props: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "project/web/__main__.py").write_text("raise SystemExit('web: no such model')")
    with pytest.raises(RuntimeError) as error:
        created(props)
    log = tmp_path / "web/web.log"
    assert str(error.value) == (
        f"the web service exited while starting: web: no such model (log: {log})"
    )
    assert running_server(tmp_path / "web") is None


def test_the_program_is_told_its_model_server_its_addresses_and_its_limits(tmp_path: Path) -> None:
    program = WebServiceProgram("127.0.0.1:8500", "m", "127.0.0.1", 8080, 8081, 8, 60)
    assert program.arguments(tmp_path) == [
        *("--model-server=127.0.0.1:8500", "--model-name=m", "--host=127.0.0.1"),
        *("--port=8080", "--metrics-port=8081", "--queue=8", "--deadline=60"),
        *("--stop-timeout=10", "--stop-unless-kept"),
    ]


def test_its_provider_is_stored_by_its_name_alone_which_never_moves() -> None:
    stored = "gASVLgAAAAAAAACMC2luZnJhLmxvY2FslIwXTG9jYWxXZWJTZXJ2aWNlUHJvdmlkZXKUk5QpgZQu"
    assert serialize_provider(LocalWebServiceProvider()) == stored
    assert LocalWebServiceProvider.serialize_as_secret_always is False


@pytest.mark.parametrize(
    "key", ["modelServer", "port", "metricsPort", "queue", "requestTimeoutSeconds"]
)
def test_a_changed_input_updates_it_in_place(props: dict[str, Any], key: str) -> None:
    result = LocalWebServiceProvider().diff("id", props, {**props, key: "other"})
    assert result.changes is True and not result.replaces
    assert LocalWebServiceProvider().diff("id", {**props, "pid": 1.0}, props).changes is False


def test_equal_ports_are_refused_before_anything_starts(props: dict[str, Any]) -> None:
    news = {**props, "metricsPort": props["port"]}
    (failure,) = LocalWebServiceProvider().check({}, news).failures or []
    assert (failure.property, failure.reason) == ("metricsPort", "must differ from port")
