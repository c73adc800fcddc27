"""Locks: only stale ones, whose process on this host has exited, are removed."""

from __future__ import annotations

import datetime
import json
import os
import socket
import subprocess
import sys

import pytest

from tests.engine.pulumi_project import PulumiProject


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def put_lock(project: PulumiProject, pid: int, host: str = "", age_seconds: float = 0.0) -> None:
    """A lock as the official CLI writes it, with nanoseconds."""
    taken = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age_seconds)
    project.locks.mkdir(parents=True, exist_ok=True)
    content = {
        "pid": pid,
        "username": "ada",
        "hostname": host or socket.gethostname(),
        "timestamp": f"{taken:%Y-%m-%dT%H:%M:%S.%f}123Z",
    }
    (project.locks / "0b1c.json").write_text(json.dumps(content))
    (project.locks / "0b1c.json.attrs").write_text("{}")


def test_a_lock_of_a_running_process_is_respected(project: PulumiProject) -> None:
    project.program("")
    put_lock(project, os.getpid())
    ran = project.run("up", "--yes")
    assert ran.code == 1 and len(ran.err.splitlines()) == 1
    for part in ("ada@", socket.gethostname(), f"pid {os.getpid()}", "python -m engine cancel"):
        assert part in ran.err
    assert project.run("preview").code == 0
    assert project.run("unlock-stale").out == ""
    assert len(list(project.locks.glob("*.json"))) == 1


def test_a_lock_of_another_host_is_respected(project: PulumiProject) -> None:
    put_lock(project, ended_process(), host="elsewhere")
    assert "ada@elsewhere" in project.run("up", "--yes").err
    assert project.run("unlock-stale").code == 0
    assert len(list(project.locks.glob("*.json"))) == 1


def test_an_unreadable_lock_is_respected(project: PulumiProject) -> None:
    put_lock(project, 1)
    (project.locks / "0b1c.json").write_text("{")
    assert "unknown host" in project.run("up", "--yes").err


@pytest.mark.parametrize("reused", [False, True])
def test_a_stale_lock_is_removed_with_a_warning(project: PulumiProject, reused: bool) -> None:
    """reused: another process, started after the lock was taken, has its PID."""
    day_seconds = 86_400.0
    pid = os.getpid() if reused else ended_process()
    put_lock(project, pid, age_seconds=day_seconds if reused else 0.0)
    project.program("")
    ran = project.run("up", "--yes")
    assert ran.code == 0
    (warning,) = [line for line in ran.text.splitlines() if line.startswith("warning")]
    assert f"pid {pid}" in warning and list(project.locks.iterdir()) == []


def test_unlock_stale_removes_only_stale_locks(project: PulumiProject) -> None:
    put_lock(project, ended_process())
    state = project.checkpoint.read_text()
    ran = project.run("unlock-stale")
    assert ran.code == 0 and ran.out.startswith("warning: removed the stale lock of ada@")
    assert list(project.locks.iterdir()) == [] and project.checkpoint.read_text() == state
    again = project.run("unlock-stale")
    assert (again.code, again.text) == (0, "")


def test_unlock_stale_needs_no_stack(unselected: PulumiProject) -> None:
    ran = unselected.run("unlock-stale")
    assert (ran.code, ran.text) == (0, "")


def test_cancel_removes_every_lock(project: PulumiProject) -> None:
    put_lock(project, os.getpid(), host="elsewhere")
    assert project.run("cancel").code == 2
    ran = project.run("cancel", "--yes")
    assert ran.code == 0 and "held by ada@elsewhere" in ran.out
    assert list(project.locks.iterdir()) == []
