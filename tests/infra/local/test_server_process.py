"""The background server: started, stopped, and never confused with another process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from infra.local.program import ModelServerProgram
from infra.local.server_process import ServerProcess, ServerStartError
from render.recorder import ROOT
from serving.tensorflow_serving.batching import batching_parameters
from serving.tensorflow_serving.flags import QUEUES
from tests.processes import free_ports

_SAVE_HALF_PLUS_TWO = """
import sys
import tensorflow as tf

class Model(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x):
        return {"y": x / 2 + 2}

model = Model()
tf.saved_model.save(model, sys.argv[1], signatures={"serving_default": model.serve})
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with one small version."""
    folder = tmp_path_factory.mktemp("model")
    command = [sys.executable, "-c", _SAVE_HALF_PLUS_TWO, str(folder / "1")]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def options(model: Path) -> ModelServerProgram:
    rest_port, grpc_port = free_ports(2)
    return ModelServerProgram(model, "stable-diffusion", "127.0.0.1", rest_port, grpc_port, 8, 60)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    made = ServerProcess(tmp_path / "server")
    yield made
    made.stop()


def quiet(_line: str) -> None:
    pass


def processes_that_serve(model_folder: Path) -> list[int]:
    flag = f"--model_base_path={model_folder}"
    processes = psutil.process_iter(["cmdline"])
    return [one.pid for one in processes if flag in (one.info["cmdline"] or [])]


@pytest.mark.slow
def test_a_started_server_serves_until_it_is_stopped(
    process: ServerProcess, options: ModelServerProgram
) -> None:
    lines: list[str] = []
    pid = process.start(options, lines.append)
    assert psutil.pid_exists(pid)
    assert process.is_serving(options)
    assert processes_that_serve(options.model_folder) == [pid]
    assert lines[-1].startswith("ready after ")
    assert not process.is_serving(replace(options, model_folder=Path("/elsewhere")))
    process.stop()
    assert not process.is_serving(options)
    process.remove_files()
    assert not process.log_file.parent.exists()


@pytest.mark.slow
def test_a_killed_server_is_not_serving(
    process: ServerProcess, options: ModelServerProgram
) -> None:
    pid = process.start(options, quiet)
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], 5)
    assert not process.is_serving(options)


@pytest.mark.slow
def test_a_model_that_fails_to_load_is_an_error_and_leaves_no_process(
    process: ServerProcess, options: ModelServerProgram, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    (broken / "1").mkdir(parents=True)
    with pytest.raises(ServerStartError, match="exited while loading the model: "):
        process.start(replace(options, model_folder=broken), quiet)
    assert processes_that_serve(broken) == []
    assert not (tmp_path / "server/server.json").exists()


@pytest.mark.slow
def test_a_server_that_is_not_ready_in_time_is_stopped(
    process: ServerProcess, options: ModelServerProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.local.server_process.READY_TIMEOUT_SECONDS", 0.0)
    with pytest.raises(ServerStartError, match="not ready after 0 s"):
        process.start(options, quiet)
    assert processes_that_serve(options.model_folder) == []
    assert not process.log_file.with_name("server.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("which", ["restPort", "grpcPort"])
def test_a_port_in_use_is_reported_with_the_remedy(
    process: ServerProcess, options: ModelServerProgram, which: str
) -> None:
    port = options.rest_port if which == "restPort" else options.grpc_port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(ServerStartError) as error:
            process.start(options, quiet)
    assert f"port {port} is in use by another program" in str(error.value)
    assert which in str(error.value)


@pytest.mark.slow
def test_a_server_exits_if_its_deployment_is_killed(
    process: ServerProcess, options: ModelServerProgram, tmp_path: Path
) -> None:
    code = (
        "from infra.local.program import *; import infra.local.server_process as module;"
        "module.ServerProcess._wait_until_ready = lambda *_: print('waiting', flush=True)"
        " or __import__('time').sleep(60);"
        f"module.ServerProcess(Path({str(tmp_path / 'server')!r})).start(ModelServerProgram("
        f"Path({str(options.model_folder)!r}), 'stable-diffusion', '127.0.0.1',"
        f"{options.rest_port}, {options.grpc_port}, 8, 60), print)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as deployment:
        assert deployment.stdout is not None
        while "waiting" not in deployment.stdout.readline():
            pass
        server = psutil.Process(json.loads((tmp_path / "server/server.json").read_text())["pid"])
        deployment.kill()
    server.wait(60)


def test_a_process_with_a_reused_pid_is_not_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        record = {
            "pid": other.pid,
            "started": psutil.Process(other.pid).create_time() - 100,
            "model_folder": "/m",
            "host": "127.0.0.1",
            "rest_port": 1,
        }
        (folder / "server.json").write_text(json.dumps(record))
        ServerProcess(folder).stop()
        ServerProcess(folder).remove_files()
        assert other.poll() is None
        assert not folder.exists()
        other.kill()


@pytest.mark.parametrize("record", ["", "{", "[]", '{"pid": PID}'])
def test_a_damaged_record_counts_as_no_server(tmp_path: Path, record: str) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (folder / "server.json").write_text(record.replace("PID", str(other.pid)))
        started = time.monotonic()
        ServerProcess(folder).stop()
        assert time.monotonic() - started < 5
        assert other.poll() is None
        assert not (folder / "server.json").exists()
        other.kill()


def test_the_batching_file_sets_one_execution_and_the_given_queue() -> None:
    text = batching_parameters(5)
    assert "num_batch_threads { value: 1 }" in text
    assert "max_execution_batch_size { value: 1 }" in text
    assert "max_enqueued_batches { value: 5 }" in text


def test_full_queues_of_direct_callers_leave_threads_for_the_calls_of_the_web_service() -> None:
    program = ModelServerProgram(Path("/m"), "m", "127.0.0.1", 8501, 8500, 1000, 60)
    (threads,) = [
        int(flag.partition("=")[2])
        for flag in program.arguments(Path("/state"))
        if flag.startswith("--grpc_max_threads=")
    ]
    assert threads > 1000 * QUEUES
