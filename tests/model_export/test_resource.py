"""The dynamic resource: its lifecycle over the real provider process, and what it registers."""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.dynamic.dynamic import serialize_provider

from model_export import owners, publish
from model_export.manifest import Manifest
from model_export.resource import ModelExportProvider
from model_export.stages import Stage
from model_export.staging import staging_folder
from model_export.storage import FileStorage
from tests.model_export.conftest import (
    TINY_SPEC,
    TINY_WEIGHTS_SHA256,
    StandInFamily,
    make_stand_in_family,
)
from tests.model_export.dynamic_server import DynamicServer, dynamic_server
from tests.processes import LIMIT_SECONDS, is_running, wait_until

FINGERPRINT = TINY_SPEC.fingerprint(TINY_WEIGHTS_SHA256)
PROVIDER = serialize_provider(ModelExportProvider())


def inputs(base: Path, **changes: Any) -> dict[str, Any]:
    return {
        "__provider": PROVIDER,
        "spec": TINY_SPEC.to_json(),
        "destination": f"file://{base}",
        "fingerprint": FINGERPRINT,
        "owner": "diffusion-serving/local/model",
        **changes,
    }


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DynamicServer]:
    family = make_stand_in_family(tmp_path_factory.mktemp("shared") / "stand-in")
    with dynamic_server(family.environment) as running:
        yield running


@pytest.fixture
def server(shared_server: DynamicServer) -> DynamicServer:
    shared_server.lines.clear()
    return shared_server


@pytest.fixture
def own_server(stand_in_family: StandInFamily) -> Iterator[DynamicServer]:
    """For a test that kills it."""
    with dynamic_server(stand_in_family.environment) as running:
        yield running


@pytest.fixture
def present(made_up_model: Callable[..., tuple[Path, Manifest]], tmp_path: Path) -> Path:
    """A folder of models that already contains the one that `inputs` describes."""
    folder, manifest = made_up_model()
    assert manifest.fingerprint == FINGERPRINT
    base = tmp_path / "models"
    publish.publish(folder, manifest, FileStorage(f"file://{base}/{FINGERPRINT}"))
    return base


@pytest.mark.slow
def test_a_model_is_exported_over_a_damaged_one_kept_and_removed(
    server: DynamicServer, present: Path
) -> None:
    (present / FINGERPRINT / "1" / "saved_model.pb").unlink()
    checked, failures = server.check(inputs(present))
    assert not failures

    id_, state = server.create(checked)
    folder = present / FINGERPRINT
    assert id_ == state["uri"] == f"file://{folder}" and state["path"] == str(folder)
    assert publish.problems(FileStorage(id_)) == []
    assert state["spec"] == checked["spec"] and state["parameterCount"] > 1000
    manifest = Manifest.from_bytes((folder / "manifest.json").read_bytes())
    assert state["sizeBytes"] == manifest.size_bytes > 1_000_000
    wait_until(lambda: bool(server.lines) and "exported" in server.lines[-1], "the last line")
    assert server.lines[0].startswith(f"(1/5) {Stage.LOAD.value}, about ")
    assert server.lines[-1].startswith(f"exported {id_}")

    assert server.diff(id_, state, checked).changes == 1  # DIFF_NONE
    assert server.read(id_, state) == (id_, state)

    server.delete(id_, state)
    assert list(present.iterdir()) == []


def test_an_existing_complete_model_is_adopted(server: DynamicServer, present: Path) -> None:
    id_, state = server.create(inputs(present))
    assert state["sizeBytes"] == 31 and state["licence"] == "Apache-2.0"
    assert server.lines == []
    assert server.read(id_, state) == (id_, state)
    server.delete(id_, state)
    assert list(present.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("{}"),
        lambda folder: (folder / "1/variables/variables.index").unlink(),
        lambda folder: (folder / "1/saved_model.pb").write_text("longer than it was"),
        lambda folder: [p.unlink() for p in sorted(folder.rglob("*")) if p.is_file()],
    ],
)
def test_a_refresh_notices_a_missing_or_damaged_model(
    damage: Callable[[Path], object], server: DynamicServer, present: Path
) -> None:
    id_, state = server.create(inputs(present))
    damage(present / FINGERPRINT)
    assert server.read(id_, state) == ("", {"__provider": PROVIDER})


@pytest.mark.parametrize(
    ("changes", "replaces"),
    [
        ({}, []),
        ({"destination": "file:///elsewhere"}, ["destination"]),
        ({"fingerprint": "0" * 16}, ["fingerprint"]),
        ({"owner": "renamed"}, []),
    ],
)
def test_another_model_or_destination_replaces_and_the_old_one_is_deleted_last(
    changes: dict[str, Any], replaces: list[str], server: DynamicServer, present: Path
) -> None:
    id_, state = server.create(inputs(present))
    answer = server.diff(id_, state, inputs(present, **changes))
    assert list(answer.replaces) == replaces
    assert answer.changes == (2 if replaces else 1)
    assert not answer.deleteBeforeReplace


def test_a_destination_may_be_spelled_differently(server: DynamicServer, present: Path) -> None:
    checked, _ = server.check(inputs(present))
    id_, state = server.create(checked)
    again, _ = server.check(inputs(present, destination=f"file://localhost{present}//"))
    assert again == checked
    assert server.diff(id_, state, again).changes == 1


def test_numbers_come_back_as_floats_and_are_no_change(
    server: DynamicServer, present: Path
) -> None:
    id_, state = server.create(inputs(present))
    assert isinstance(state["spec"]["steps"], float)
    assert server.diff(id_, state, inputs(present)).changes == 1


def test_an_update_keeps_the_outputs(server: DynamicServer, present: Path) -> None:
    id_, state = server.create(inputs(present))
    assert server.update(id_, state, inputs(present)) == state


def spec_with(**changes: Any) -> dict[str, Any]:
    return {**TINY_SPEC.to_json(), **changes}


@pytest.mark.parametrize(
    ("changes", "key", "reason"),
    [
        ({"destination": ""}, "destination", "must start with file://"),
        ({"destination": "models"}, "destination", "must start with file://"),
        ({"destination": "file:///a/../b"}, "destination", "must be a plain path"),
        ({"fingerprint": "abc"}, "fingerprint", "must be 16 hexadecimal digits"),
        ({"fingerprint": "../../../../etc/"}, "fingerprint", "must be 16 hexadecimal digits"),
        ({"fingerprint": 7}, "fingerprint", "must be 16 hexadecimal digits"),
        ({"spec": "demo"}, "spec", "must be an object"),
        ({"spec": spec_with(steps=99)}, "spec.steps", "must be from 1 to 6, not 99"),
        ({"spec": spec_with(steps=2.5)}, "spec.steps", "must be a whole number, not 2.5"),
        ({"spec": spec_with(sampler="euler")}, "spec.sampler", "must be one of"),
        ({"spec": spec_with(steps="many")}, "spec.steps", "must be a whole number, not 'many'"),
        ({"spec": spec_with(colour="red")}, "spec", "does not describe a model"),
    ],
)
def test_wrong_inputs_are_named_in_one_line(
    changes: dict[str, Any], key: str, reason: str, server: DynamicServer, tmp_path: Path
) -> None:
    _, failures = server.check(inputs(tmp_path, **changes))
    assert list(failures) == [key]
    assert reason in failures[key] and "\n" not in failures[key]


UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def test_unknown_values_pass_the_check(server: DynamicServer, tmp_path: Path) -> None:
    for changes in (
        {"destination": UNKNOWN},
        {"fingerprint": UNKNOWN},
        {"spec": UNKNOWN},
        {"spec": spec_with(steps=UNKNOWN)},
    ):
        assert server.check(inputs(tmp_path, **changes))[1] == {}


def test_a_failed_export_says_why(server: DynamicServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(grpc.RpcError) as failure:
        server.create(inputs(tmp_path / "file" / "models"))
    (line,) = str(failure.value.details()).strip().splitlines()  # type: ignore[attr-defined]
    assert "Not a directory" in line and "RuntimeError" not in line


def test_deleting_a_missing_model_is_no_error(server: DynamicServer, present: Path) -> None:
    id_, state = server.create(inputs(present))
    server.delete(id_, state)
    assert list(present.iterdir()) == []
    server.delete(id_, state)


def test_delete_leaves_what_the_manifest_does_not_list(
    server: DynamicServer, present: Path
) -> None:
    id_, state = server.create(inputs(present))
    (present / FINGERPRINT / "notes.txt").write_text("mine")
    (present / "other").mkdir()
    server.delete(id_, state)
    assert sorted(path.name for path in present.iterdir()) == [FINGERPRINT, "other"]
    assert [path.name for path in (present / FINGERPRINT).rglob("*")] == ["notes.txt"]


def test_deleting_an_old_resource_keeps_a_later_ones_model(
    server: DynamicServer, present: Path
) -> None:
    """Back to an earlier model while its old entry is still waiting to be deleted."""
    id_, old = server.create(inputs(present))
    _, current = server.create(inputs(present))
    server.delete(id_, old)
    assert server.read(id_, current) == (id_, current)
    server.delete(id_, current)
    assert list(present.iterdir()) == []


def test_delete_also_removes_what_a_killed_export_left(
    server: DynamicServer, present: Path
) -> None:
    id_, state = server.create(inputs(present))
    with staging_folder(present) as own:
        dead = own.with_name(f"{own.name.rsplit('-', 1)[0]}-{2**22 + 1}")  # above Linux's limit
    dead.mkdir()
    server.delete(id_, state)
    assert list(present.iterdir()) == []


def test_a_copied_state_reads_and_deletes_no_model_of_the_original(
    server: DynamicServer, present: Path
) -> None:
    _, state = server.create(inputs(present))
    theirs = present.rename(present.with_name(".state")) / FINGERPRINT
    copied = {**state, "destination": f"file://{theirs.parent}", "uri": f"file://{theirs}"}
    assert server.read(copied["uri"], copied)[0] == ""
    server.delete(copied["uri"], copied)
    assert publish.problems(FileStorage(copied["uri"])) == []


def test_two_stacks_can_share_a_model(server: DynamicServer, present: Path) -> None:
    id_, one = server.create(inputs(present, owner="diffusion-serving/one/model"))
    _, two = server.create(inputs(present, owner="diffusion-serving/two/model"))
    server.delete(id_, one)
    assert owners.owners(FileStorage(id_)) == ["diffusion-serving/two/model"]
    assert server.read(id_, two) == (id_, two)
    server.delete(id_, two)
    assert list(present.iterdir()) == []


def test_a_renamed_stack_keeps_its_model_when_another_takes_its_name(
    server: DynamicServer, present: Path
) -> None:
    """The state keeps the owner of its creation; only the program's inputs have the later name."""
    id_, renamed = server.create(inputs(present, owner="diffusion-serving/dev/model"))
    _, other = server.create(inputs(present, owner="diffusion-serving/dev/model"))
    server.delete(id_, other)
    assert server.read(id_, renamed) == (id_, renamed)
    server.delete(id_, renamed)
    assert list(present.iterdir()) == []


def test_a_renamed_stack_releases_its_claim_after_an_update(
    server: DynamicServer, present: Path
) -> None:
    id_, state = server.create(inputs(present, owner="diffusion-serving/dev/model"))
    state = server.update(id_, state, inputs(present, owner="diffusion-serving/prod/model"))
    server.delete(id_, state)
    assert list(present.iterdir()) == []


@pytest.mark.parametrize("owner", ["diffusion-serving/dev/model", "diffusion-serving/prod/model"])
def test_a_claim_of_an_earlier_version_is_released(
    owner: str, server: DynamicServer, present: Path
) -> None:
    """Its marker is named by the owner. The stack may have been renamed since."""
    id_, state = server.create(inputs(present, owner=owner))
    (marker,) = (present / FINGERPRINT / "owners").iterdir()
    marker.unlink()
    first = "diffusion-serving/dev/model"
    earlier = marker.with_name(f"{sha256(first.encode()).hexdigest()[:16]}.json")
    earlier.write_text(json.dumps({"owner": first, "token": state["claim"]}) + "\n")
    _, other = server.create(inputs(present, owner=first))
    server.delete(id_, other)
    assert server.read(id_, state) == (id_, state)
    server.delete(id_, state)
    assert list(present.iterdir()) == []


def test_the_claim_of_an_interrupted_create_goes_with_the_next_one(
    server: DynamicServer, present: Path
) -> None:
    storage = FileStorage(f"file://{present}/{FINGERPRINT}")
    owners.claim(storage, "diffusion-serving/local/model", "interrupted")
    owners.claim(storage, "diffusion-serving/other/model", "in progress")
    id_, state = server.create(inputs(present))
    server.delete(id_, state)
    assert owners.owners(storage) == ["diffusion-serving/other/model"]
    assert publish.problems(storage) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_export_ends_with_the_provider_process(
    number: signal.Signals,
    own_server: DynamicServer,
    stand_in_family: StandInFamily,
    tmp_path: Path,
) -> None:
    stand_in_family.gate.touch()
    base = tmp_path / "models"

    ended: list[str] = []

    def create() -> None:
        try:
            own_server.create(inputs(base))
            ended.append("exported")
        except grpc.RpcError:
            ended.append("failed")

    request = threading.Thread(target=create)
    request.start()
    wait_until(stand_in_family.reached.exists, "the export to begin")
    (staging,) = base.glob(".export-*")
    export_pid = int(staging.name.rsplit("-", 1)[1])
    assert is_running(export_pid)
    if number == signal.SIGINT:
        # Ctrl-C reaches the whole group, the export included.
        os.kill(export_pid, number)
    own_server.process.send_signal(number)
    request.join(LIMIT_SECONDS)
    assert ended == ["failed"]
    wait_until(lambda: not is_running(export_pid), "the export to end")
    assert list(base.iterdir()) == []


def test_the_provider_is_stored_by_name_and_is_no_secret() -> None:
    stored = base64.b64decode(PROVIDER)
    assert b"model_export.resource" in stored and b"ModelExportProvider" in stored
    assert len(stored) < 100
    assert ModelExportProvider.serialize_as_secret_always is False
