"""Locks: only stale ones, whose process on this host has surely ended, are removed."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from engine.state import locks
from tests.engine.pulumi_project import REPOSITORY, PulumiProject

PID_NAMESPACE = Path("/proc/self/ns/pid")


@pytest.fixture(autouse=True)
def whole_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """As outside of containers, wherever the tests run."""
    if PID_NAMESPACE.is_symlink():
        monkeypatch.setattr(locks, "_FIRST_PID_NAMESPACE", str(PID_NAMESPACE.readlink()))


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def put_lock(
    project: PulumiProject, pid: int, host: str = "", age_seconds: float = 0.0, **more: object
) -> Path:
    """A lock as the official CLI writes it, with nanoseconds."""
    taken = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age_seconds)
    project.locks.mkdir(parents=True, exist_ok=True)
    content = {
        "pid": pid,
        "username": "ada",
        "hostname": host or socket.gethostname(),
        "timestamp": f"{taken:%Y-%m-%dT%H:%M:%S.%f}123Z",
        **more,
    }
    file = project.locks / "0b1c.json"
    file.write_text(json.dumps(content))
    (project.locks / "0b1c.json.attrs").write_text("{}")
    return file


def is_kept(project: PulumiProject) -> bool:
    ran = project.run("unlock-stale")
    assert ran.code == 0
    return ran.out == "" and len(list(project.locks.glob("*.json"))) == 1


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


def test_a_stale_lock_is_removed_with_a_warning(project: PulumiProject) -> None:
    pid = ended_process()
    put_lock(project, pid)
    project.program("")
    ran = project.run("up", "--yes")
    assert ran.code == 0
    (warning,) = [line for line in ran.text.splitlines() if line.startswith("warning")]
    assert f"pid {pid}" in warning and list(project.locks.iterdir()) == []


def test_a_running_holder_is_respected_though_the_clock_was_set_back_or_forward(
    project: PulumiProject,
) -> None:
    for age_seconds in (86_400.0, -86_400.0):
        put_lock(project, os.getpid(), age_seconds=age_seconds)
        assert is_kept(project)


def test_a_process_that_may_not_be_asked_counts_as_running(
    project: PulumiProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_pid: int, _signal: int) -> None:
        raise PermissionError

    put_lock(project, ended_process())
    monkeypatch.setattr("os.kill", denied)
    assert is_kept(project)


def test_a_holder_in_a_container_on_this_host_is_respected(project: PulumiProject) -> None:
    inner = max(psutil.pids()) + 5000
    script = f"echo {inner - 1} > /proc/sys/kernel/ns_last_pid; sh -c 'echo $$; sleep 60'; true"
    command = ["unshare", "-rpf", "--kill-child", "--mount-proc", "sh", "-c", script]
    try:
        container = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    except OSError:
        pytest.skip("needs unshare")
    with container:
        assert container.stdout is not None
        try:
            if container.stdout.readline().strip() != str(inner):
                pytest.skip("may not make a PID namespace")
            put_lock(project, inner)
            assert is_kept(project)
        finally:
            container.kill()


@pytest.mark.skipif(not PID_NAMESPACE.is_symlink(), reason="needs Linux's namespaces")
def test_in_a_container_with_the_name_of_its_host_an_official_lock_is_respected(
    project: PulumiProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_FIRST_PID_NAMESPACE", "another")
    monkeypatch.setattr(locks, "_FIRST_UTS_NAMESPACE", str(Path("/proc/self/ns/uts").readlink()))
    put_lock(project, ended_process())
    assert is_kept(project)


def test_our_own_lock_is_judged_by_the_kernel_alone(project: PulumiProject) -> None:
    """By the lock on the file: not by the PID, which may be another process's or out of sight."""
    file = put_lock(project, ended_process(), flock=True)
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert is_kept(project)
    assert not is_kept(project)
    put_lock(project, os.getpid(), flock=True)
    assert not is_kept(project)
    put_lock(project, os.getpid(), flock=True, host="elsewhere")
    assert is_kept(project)


def test_a_lock_is_held_until_its_holder_ends_and_no_longer(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from engine.state import locks\n"
        "with locks.held(Path(sys.argv[1])): print('held', flush=True); input()"
    )
    folder = tmp_path / "locks" / "dev"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert locks.remove_stale_locks(folder) == []
        assert [lock.pid for lock in locks.read_locks(folder)] == [holder.pid]
        holder.kill()
        holder.wait()
        assert [lock.pid for lock in locks.remove_stale_locks(folder)] == [holder.pid]
    assert list(folder.iterdir()) == []


def test_where_files_cannot_be_locked_a_lock_counts_as_an_official_one(
    project: PulumiProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with locks.held(project.locks) as mine:
        assert "flock" not in json.loads(mine.read_text())
        assert is_kept(project)
    put_lock(project, ended_process())
    assert not is_kept(project)


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


def test_cancel_leaves_the_lock_of_an_operation_that_runs(project: PulumiProject) -> None:
    with locks.held(project.locks) as mine:
        ran = project.run("cancel", "--yes")
        assert ran.code == 1 and len(ran.err.splitlines()) == 1
        assert f"`kill {os.getpid()}`" in ran.err
        assert mine.exists()
    put_lock(project, ended_process(), flock=True)
    assert project.run("cancel", "--yes").code == 0


def test_cancel_leaves_the_lock_of_an_official_cli_that_runs(
    project: PulumiProject, tmp_path: Path
) -> None:
    program = tmp_path / "pulumi"
    shutil.copy(shutil.which("sleep") or "", program)
    with subprocess.Popen([program, "60"]) as official:
        try:
            file = put_lock(project, official.pid)
            assert project.run("cancel", "--yes").code == 1
            assert file.exists()
        finally:
            official.kill()
    assert project.run("cancel", "--yes").code == 0
