"""The folder `.state`: what `make down` removes, and what a copied checkout leaves alone."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra import checkout
from infra.local import state as local_state
from infra.local.server_record import pid_namespace
from infra.settings.project_file import project_name
from model_export import owners
from model_export.checkout import STATE_FOLDER
from model_export.storage import FileStorage

PROJECT = project_name()


def write(file: Path, text: str = "{}") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def add_stack(state: Path, name: str) -> list[Path]:
    """The files of a stack as the engines leave them."""
    folder = state / ".pulumi"
    write(folder / "meta.yaml", "version: 1\n")
    return [
        write(folder / "stacks" / PROJECT / f"{name}{suffix}")
        for suffix in (".json", ".json.bak", ".json.attrs", ".json.bak.attrs", ".pulumi-tags")
    ] + [
        write(folder / "history" / PROJECT / name / f"{name}-1.history.json"),
        write(folder / "backups" / PROJECT / name / f"{name}.1.json"),
        write(folder / "locks/organization" / PROJECT / name / "1.json"),
    ]


def add_model(state: Path, name: str, *owner: str) -> Path:
    folder = state / "models" / name
    write(folder / "1/saved_model.pb")
    for one in owner:
        owners.claim(FileStorage(folder.as_uri()), one, "token")
    return folder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A deployed stack `local`."""
    folder = tmp_path / "A/.state"
    checkout.adopt(folder)
    add_stack(folder, "local")
    add_model(folder, "0123456789abcdef", f"{PROJECT}/local/model")
    write(folder / "server/server.log", "ready\n")
    return folder


@pytest.fixture
def server(state: Path) -> Iterator[psutil.Process]:
    """A process that the record of an earlier version names, which knows no locks."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        process = psutil.Process(started.pid)
        record: dict[str, Any] = {
            "pid": process.pid,
            "started": process.create_time(),
            "model_folder": str(state / "models/0123456789abcdef"),
            "host": "127.0.0.1",
            "rest_port": 8501,
        }
        write(state / "server/server.json", json.dumps(record))
        yield process
        started.kill()


@pytest.fixture
def web(state: Path) -> Iterator[psutil.Process]:
    """The process of a web service, which could not lock its record's file."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        process = psutil.Process(started.pid)
        record: dict[str, Any] = {
            "pid": process.pid,
            "started": process.create_time(),
            "module": "web",
            "serves": "127.0.0.1:8500",
            "host": "127.0.0.1",
            "ports": [8080, 8081],
        }
        write(state / "web/server.json", json.dumps(record))
        yield process
        started.kill()


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_nothing_is_left_where_there_was_only_the_local_stack(state: Path) -> None:
    assert local_state.remove(state) == ""
    assert not state.exists()


def test_other_stacks_keep_their_state(state: Path) -> None:
    kept = [file for name in ("dev", "local.json", "local.eu") for file in add_stack(state, name)]
    line = local_state.remove(state)
    assert line == "note: .state stays: it holds the state of dev, local.eu, local.json"
    assert all(file.exists() for file in kept)
    here = {file for file in state.rglob("*") if file.is_file()}
    assert here == {*kept, state / ".pulumi/meta.yaml", state / "checkout.json"}
    assert not (state / "models").exists() and not (state / "server").exists()


def test_the_backups_of_a_removed_stack_stay(state: Path) -> None:
    kept = write(state / ".pulumi/backups" / PROJECT / "dev/dev.1.json")
    assert "it holds other files, such as .pulumi/backups/" in local_state.remove(state)
    assert kept.exists()


def test_a_model_that_another_stack_has_adopted_stays(state: Path) -> None:
    shared = add_model(state, "fedcba9876543210", f"{PROJECT}/local/model", f"{PROJECT}/two/model")
    assert "such as models/fedcba9876543210/" in local_state.remove(state)
    assert (shared / "1/saved_model.pb").exists()
    assert [model.name for model in (state / "models").iterdir()] == [shared.name]


def test_what_killed_processes_left_goes_too(state: Path) -> None:
    write(state / "checkout.4711.tmp")
    stacks = state / ".pulumi/stacks" / PROJECT
    write(stacks / "local.json.x1_y.engine-tmp")
    write(stacks / "local.json.bak.x1_y.engine-tmp")
    write(state / ".pulumi/locks/organization" / PROJECT / "1.json.x1_y.engine-tmp")
    assert local_state.remove(state) == ""
    assert not state.exists()


@pytest.mark.parametrize("compressed", [False, True])
def test_a_server_that_may_be_another_stacks_goes_on(
    state: Path, server: psutil.Process, *, compressed: bool
) -> None:
    two = add_stack(state, "two")[0]
    two.write_text('{"type": "pulumi-python:dynamic/diffusion:LocalModelServer"}')
    if compressed:
        two.with_name("two.json.gz").write_bytes(gzip.compress(two.read_bytes()))
        two.unlink()
    local_state.remove(state)
    assert server.is_running() and (state / "server/server.json").exists()


def test_a_web_service_goes_though_another_stack_may_have_the_model_server(
    state: Path, server: psutil.Process, web: psutil.Process
) -> None:
    """As that of an earlier version, which knew no web service."""
    two = add_stack(state, "two")[0]
    two.write_text('{"type": "pulumi-python:dynamic/diffusion:LocalModelServer"}')
    local_state.remove(state)
    assert not has_ended(server) and has_ended(web)
    assert not (state / "web").exists()


def test_the_servers_of_a_killed_deployment_are_stopped(
    state: Path, server: psutil.Process, web: psutil.Process
) -> None:
    assert local_state.remove(state) == ""
    assert has_ended(server) and has_ended(web)
    assert not state.exists()


def test_a_copy_starts_anew_and_leaves_the_original_alone(
    state: Path, server: psutil.Process, web: psutil.Process
) -> None:
    before = sorted(state.rglob("*"))
    dev = add_stack(state, "dev")
    copy = Path(shutil.copytree(state.parent, state.parent.with_name("B"))) / state.name
    for file in dev:
        file.unlink()
    line = local_state.prepare("local", copy)
    assert line.startswith(f"note: this checkout is a copy of {state.parent}, ")
    assert not (copy / ".pulumi/stacks" / PROJECT / "local.json").exists()
    assert (copy / ".pulumi/stacks" / PROJECT / "dev.json").exists()
    assert owners.owners(FileStorage((copy / "models/0123456789abcdef").as_uri())) == []
    assert local_state.prepare("local", copy) == ""
    assert local_state.remove(copy) == "note: .state stays: it holds the state of dev"
    assert not has_ended(server) and not has_ended(web)
    assert [path for path in before if not path.exists()] == []


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "of an earlier version"])
def test_removing_a_copy_does_not_stop_the_originals_server(
    state: Path, server: psutil.Process, *, recorded: bool
) -> None:
    if not recorded:
        (state / checkout.RECORD_NAME).unlink()
    copy = Path(shutil.copytree(state.parent, state.parent.with_name("B"))) / state.name
    local_state.remove(copy)
    assert not copy.exists()
    assert not has_ended(server)


def test_a_copy_of_hard_links_does_not_stop_the_originals_server(
    state: Path, server: psutil.Process
) -> None:
    """In `cp -al A B`, the lock of A's server is seen on B's record too."""
    record = state / "server/server.json"
    here = {"locked": True, "pid_namespace": pid_namespace()}
    record.write_text(json.dumps(json.loads(record.read_text()) | here))
    with record.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        copy = state.parent.with_name("B")
        shutil.copytree(state.parent, copy, copy_function=os.link)
        local_state.prepare("local", copy / state.name)
        local_state.remove(copy / state.name)
        assert not (copy / state.name).exists()
    assert not has_ended(server)
    assert record.exists() and (state / ".pulumi/stacks" / PROJECT / "local.json").exists()


def test_a_moved_checkout_goes_on_with_its_stack_and_servers(
    state: Path, server: psutil.Process, web: psutil.Process
) -> None:
    moved = state.parent.rename(state.parent.with_name("B")) / state.name
    assert local_state.prepare("local", moved) == ""
    assert owners.owners(FileStorage((moved / "models/0123456789abcdef").as_uri())) == []
    assert (moved / ".pulumi/stacks" / PROJECT / "local.json").exists()
    local_state.remove(moved)
    assert has_ended(server) and has_ended(web)
    assert not moved.exists()


def test_the_state_folder_is_the_checkouts() -> None:
    assert Path(__file__).resolve().parents[3] / ".state" == STATE_FOLDER
