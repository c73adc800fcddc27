"""Whether the recorded server runs: the kernel's lock says it, no clock and no port."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.local import LocalModelServerProvider, ports
from infra.local.program import ModelServerProgram
from infra.local.server_process import ServerProcess
from infra.local.server_record import RECORD_FILE, running_server
from infra.local.server_stop import ServerStopError, terminate
from render.recorder import ROOT
from tests.infra.local import quick_server
from tests.processes import free_ports, is_running, wait_until

pytestmark = pytest.mark.slow

HOUR_SECONDS = 3600.0
FEW_KILLS = 4
MANY_KILLS = 100


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelServerProgram:
    root = quick_server.write(tmp_path / "project")
    monkeypatch.setattr("infra.local.server_process._PROJECT_ROOT", root)
    model = tmp_path / "models" / "abc"
    rest_port, grpc_port = free_ports(2)
    return ModelServerProgram(model, "stable-diffusion", "127.0.0.1", rest_port, grpc_port, 8, 60)


@pytest.fixture
def folder(tmp_path: Path, options: ModelServerProgram) -> Iterator[Path]:
    """The state folder; whatever serves this test's model is killed at the end."""
    yield tmp_path / "server"
    for pid in processes_that_serve(options.model_folder):
        os.kill(pid, signal.SIGKILL)


def processes_that_serve(model_folder: Path) -> list[int]:
    flag = f"--model_base_path={model_folder}"
    processes = psutil.process_iter(["cmdline"])
    return [one.pid for one in processes if flag in (one.info["cmdline"] or [])]


def started(folder: Path, options: ModelServerProgram) -> int:
    return ServerProcess(folder).start(options, lambda _: None)


def stop(folder: Path) -> None:
    ServerProcess(folder).stop()
    ServerProcess(folder).remove_files()


def change_record(folder: Path, **changes: Any) -> None:
    """Change the record in place: its file stays the one that the server has locked."""
    file = folder / RECORD_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def props(folder: Path, options: ModelServerProgram, pid: int) -> dict[str, Any]:
    """The resource's properties in the state."""
    return {
        "modelUri": options.model_folder.as_uri(),
        "modelName": options.model_name,
        "host": options.host,
        "restPort": float(options.rest_port),
        "grpcPort": float(options.grpc_port),
        "queue": 8.0,
        "requestTimeoutSeconds": 60.0,
        "stateFolder": str(folder),
        "pid": float(pid),
    }


@pytest.mark.parametrize("seconds", [-HOUR_SECONDS, HOUR_SECONDS])
def test_a_clock_that_was_set_changes_nothing(
    folder: Path, options: ModelServerProgram, seconds: float
) -> None:
    pid = started(folder, options)
    change_record(folder, started=psutil.Process(pid).create_time() + seconds)
    assert ServerProcess(folder).is_serving(options)
    stop(folder)
    assert not is_running(pid)
    assert not folder.exists()


def test_a_server_without_a_lock_is_known_by_its_start_time_or_its_command(
    folder: Path, options: ModelServerProgram
) -> None:
    """As servers of earlier versions are, whose records have five entries."""
    pid = started(folder, options)
    record = folder / RECORD_FILE
    known = ("pid", "started", "host")
    earlier = {key: value for key, value in json.loads(record.read_text()).items() if key in known}
    earlier["model_folder"], earlier["rest_port"] = str(options.model_folder), options.rest_port
    record.unlink()
    record.write_text(json.dumps(earlier))
    assert ServerProcess(folder).is_serving(options)
    change_record(folder, started=earlier["started"] - HOUR_SECONDS)
    assert ServerProcess(folder).is_serving(options)
    change_record(folder, model_folder="/another")
    assert running_server(folder) is None
    change_record(folder, started=earlier["started"])
    stop(folder)
    assert not is_running(pid)


def test_the_process_of_a_released_lock_is_not_the_server(
    folder: Path, options: ModelServerProgram
) -> None:
    """Its PID has been reused, by a process with the recorded start time."""
    server = psutil.Process(started(folder, options))
    assert running_server(folder) is not None
    server.kill()
    server.wait(20)
    change_record(folder, pid=os.getpid(), started=psutil.Process().create_time())
    assert running_server(folder) is None
    assert not ServerProcess(folder).is_serving(options)


def test_a_server_in_another_pid_namespace_is_named_and_nothing_of_it_is_removed(
    folder: Path, options: ModelServerProgram
) -> None:
    pid = started(folder, options)
    change_record(folder, pid_namespace="another boot pid:[1]", hostname="box")
    provider, stored = LocalModelServerProvider(), props(folder, options, pid)
    assert provider.read("id", stored).id == "id"
    says = (
        f"the model server runs as process {pid} on box, in another container or on another machine"
    )
    for change in (
        lambda: provider.delete("id", stored),
        lambda: provider.update("id", stored, stored),
        lambda: provider.create(stored),
    ):
        with pytest.raises(RuntimeError, match=says):
            change()
    with pytest.raises(ServerStopError, match=f"^{says}: stop it there"):
        stop(folder)
    assert is_running(pid)
    assert (folder / RECORD_FILE).exists() and (folder / "server.log").exists()


def test_a_server_outside_of_a_container_is_not_stopped_from_inside(
    folder: Path, options: ModelServerProgram
) -> None:
    pid = started(folder, options)
    inside = ["unshare", "-rpf", "--mount-proc"]
    try:
        possible = subprocess.run([*inside, "true"], check=False, capture_output=True)
    except OSError:
        pytest.skip("needs unshare")
    if possible.returncode != 0:
        pytest.skip("may not make a PID namespace")
    code = "import sys; from tests.infra.local.test_server_record import *; stop(Path(sys.argv[1]))"
    command = [*inside, sys.executable, "-c", code, str(folder)]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert f"ServerStopError: the model server runs as process {pid} on " in ended.stderr
    assert is_running(pid)
    assert running_server(folder) is not None


def test_a_server_that_nobody_waits_for_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose first process leaves zombies."""
    monkeypatch.setattr("infra.local.server_stop.STOP_TIMEOUT_SECONDS", 2.0)
    command = ["sh", "-c", "sleep 100 & echo $!; exec sleep 100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            process = psutil.Process(int(parent.stdout.readline()))
            wait_until(lambda: process.name() == "sleep", "the process to start")
            terminate(process)
            assert process.status() == psutil.STATUS_ZOMBIE
        finally:
            parent.kill()


_FIRST_THREAD_ENDS = """
import ctypes, signal, socket, sys, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
threading.Thread(target=listening.accept).start()
print("listening", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process ends with all its threads")
def test_a_server_has_ended_only_when_its_last_thread_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then its port is taken, and whoever restarts it is told so."""
    monkeypatch.setattr("infra.local.server_stop.STOP_TIMEOUT_SECONDS", 0.5)
    (port,) = free_ports(1)
    command = [sys.executable, "-c", _FIRST_THREAD_ENDS, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdout.readline() == "listening\n"
        process = psutil.Process(server.pid)
        wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, "the first thread to end")
        assert not ports.is_free("127.0.0.1", port)
        terminate(process)
        assert ports.is_free("127.0.0.1", port)
        server.kill()


def test_a_busy_server_is_alive_without_an_answer(
    folder: Path, options: ModelServerProgram
) -> None:
    pid = started(folder, options)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        stored = props(folder, options, pid)
        assert LocalModelServerProvider().read("id", stored).id == "id"
        assert time.monotonic() - began < 1
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_server_of_a_deployment_that_was_killed_is_not_the_states(
    folder: Path, options: ModelServerProgram
) -> None:
    pid = started(folder, options)
    assert LocalModelServerProvider().read("id", props(folder, options, pid)).id == "id"
    assert LocalModelServerProvider().read("id", props(folder, options, pid + 1)).id == ""


def test_where_files_cannot_be_locked_the_server_is_found_and_stopped(
    folder: Path, options: ModelServerProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    pid = started(folder, options)
    assert ServerProcess(folder).is_serving(options)
    monkeypatch.undo()
    assert ServerProcess(folder).is_serving(options)
    stop(folder)
    assert not is_running(pid)


def deployment(
    folder: Path, options: ModelServerProgram, first: str = "pass"
) -> subprocess.Popen[str]:
    """A process that starts a server and then waits. `first` is code that it runs before."""
    code = (
        "import os, sys; from infra.local import server_process as module;"
        "from infra.local.program import *;"
        f"module._PROJECT_ROOT = Path({str(folder.parent / 'project')!r});"
        f"options = ModelServerProgram(Path({str(options.model_folder)!r}),"
        f"'stable-diffusion', '127.0.0.1', {options.rest_port}, {options.grpc_port}, 8, 60);"
        f"process = module.ServerProcess(Path({str(folder)!r})); {first};"
        "print('begin', flush=True); process.stop(); process.start(options, print);"
        "print('done', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=pipe, stdout=pipe, text=True
    )


@pytest.mark.parametrize("step", ["_record", "_wait_until_ready", "_keep_running"])
def test_a_server_ends_if_its_deployment_is_killed_before_it_is_kept(
    folder: Path, options: ModelServerProgram, step: str
) -> None:
    kill = f"module.ServerProcess.{step} = lambda *_: os.kill(os.getpid(), 9)"
    with deployment(folder, options, kill) as killed:
        assert killed.wait(60) == -signal.SIGKILL

    def has_ended() -> bool:
        # Of a process that ends, the command line goes first, then the lock and the ports.
        return (
            not processes_that_serve(options.model_folder)
            and running_server(folder) is None
            and ports.is_free(options.host, options.rest_port)
        )

    wait_until(has_ended, "the server to end")
    pid = started(folder, options)
    assert processes_that_serve(options.model_folder) == [pid]
    stop(folder)
    assert not folder.exists()


def kill_many(folder: Path, options: ModelServerProgram, kills: int) -> None:
    """Kill deployments at random places while they start a server."""
    chance = random.Random(1)

    def none_is_lost() -> bool:
        """Whatever serves is the server of the locked record."""
        server = running_server(folder)
        recorded = [] if server is None else [server.record.pid]
        return all(pid in recorded for pid in processes_that_serve(options.model_folder))

    for _ in range(kills):
        with deployment(folder, options) as killed:
            assert killed.stdout is not None and killed.stdout.readline() == "begin\n"
            time.sleep(chance.uniform(0, 0.4))
            killed.kill()
        wait_until(none_is_lost, "a server without a record to end")
        if chance.random() < 0.5:
            stop(folder)
            wait_until(lambda: not processes_that_serve(options.model_folder), "the end")
            assert not folder.exists()
    stop(folder)
    assert processes_that_serve(options.model_folder) == []


def test_a_few_killed_deployments_leave_no_server_without_a_lock(
    folder: Path, options: ModelServerProgram
) -> None:
    kill_many(folder, options, FEW_KILLS)


@pytest.mark.long
def test_a_hundred_killed_deployments_leave_no_server_without_a_lock(
    folder: Path, options: ModelServerProgram
) -> None:
    kill_many(folder, options, MANY_KILLS)
