"""The life cycle of the process: start, load, fail, stop."""

from __future__ import annotations

import shutil
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from tests.devserver import models
from tests.devserver.processes import NAME, Server, free_ports, wait_until
from tests.devserver.test_limits import ENDLESS, start_slow

StartServer = Callable[..., Server]

REQUEST_HEAD = bytes([10, 2 + len(NAME), 10, len(NAME)]) + NAME.encode()
"""Any request of the two services that only names the model, on the wire."""
NOT_SERVING = b"\x08\x02"


def test_a_port_in_use_is_a_one_line_error_that_names_it(
    tmp_path: Path, start_server: StartServer
) -> None:
    for index, what in enumerate(["gRPC port", "REST port"]):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ports = free_ports(2)
            ports[index] = taken.getsockname()[1]
            log_file = tmp_path / f"{index}.log"
            server = start_server(tmp_path, log_file=log_file, ports=ports)
            assert server.wait_for_exit() == 1
        output = server.output()
        assert f"{what} {ports[index]}" in output
        assert "in use" in output
        assert output.count("\n") == 1
        assert f"{what} {ports[index]}" in log_file.read_text()


def test_an_invalid_flag_ends_the_process_with_one_line(start_server: StartServer) -> None:
    server = start_server(Path("m"), ("--rest_api_timeout_in_ms=soon",))
    assert server.wait_for_exit() == 255
    (line,) = server.output().splitlines()
    assert "--rest_api_timeout_in_ms: " in line and "'soon'" in line


def test_a_folder_without_versions_ends_the_process_if_checked_only_once(
    tmp_path: Path, start_server: StartServer
) -> None:
    server = start_server(tmp_path, ("--file_system_poll_wait_seconds=0",), tmp_path / "log")
    assert server.wait_for_exit() == 1
    assert "contains no version" in server.output()


def test_an_unwritable_log_file_is_a_one_line_error(
    tmp_path: Path, start_server: StartServer
) -> None:
    server = start_server(tmp_path, log_file=tmp_path / "absent" / "log")
    assert server.wait_for_exit() == 1
    (line,) = server.output().splitlines()
    assert "--log_file" in line


def test_a_server_stops_if_its_parent_dies_before_sending_keep(
    tmp_path: Path, start_server: StartServer
) -> None:
    server = start_server(tmp_path, log_file=tmp_path / "log")
    wait_until(lambda: server.state() == "404", "the port to answer")
    server.stdin.close()
    assert server.wait_for_exit(15) == 0
    assert "standard input closed before" in server.log_text()


def test_a_server_that_received_keep_outlives_its_parents_pipe(
    tmp_path: Path, start_server: StartServer
) -> None:
    server = start_server(tmp_path, log_file=tmp_path / "log")
    wait_until(lambda: server.state() == "404", "the port to answer")
    server.stdin.write("keep\n")
    server.stdin.close()
    for _ in range(20):
        assert server.state() == "404"
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_for_exit(15) == 0
    assert "standard input closed before" not in server.log_text()


@pytest.mark.slow
def test_a_warmup_that_fails_ends_the_process(
    copied_version: Path, start_server: StartServer, tmp_path: Path
) -> None:
    models.write_warmup(copied_version, [("", {"x": [1.0]}), ("absent", {"x": [1.0]})])
    server = start_server(copied_version.parent, log_file=tmp_path / "log")
    assert server.wait_for_exit() == 1
    message = 'failed: FAILED_PRECONDITION: Serving signature key "absent" not found.'
    for text in (server.output(), server.log_text()):
        assert "warm-up record 1 of " in text
        assert message in text
        assert "Traceback" not in text


@pytest.mark.slow
def test_a_damaged_model_ends_the_process(
    copied_version: Path, start_server: StartServer, tmp_path: Path
) -> None:
    (copied_version / "saved_model.pb").write_bytes(b"\x08garbage")
    server = start_server(copied_version.parent, log_file=tmp_path / "log")
    assert server.wait_for_exit() == 1
    assert f"cannot load the model in {copied_version}" in server.output()


@pytest.mark.slow
def test_a_server_reports_waiting_loading_and_ready_and_stops_gracefully(
    base_path: Path, start_server: StartServer, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    server = start_server(base, ("--enable_grpc_healthcheck_service",), tmp_path / "log")
    wait_until(lambda: server.state() == "404", "the port to answer")
    early = server.predict({"instances": [1]})
    assert early.status == 503
    assert "no version of it has been found" in early.error
    with grpc.insecure_channel(server.grpc_address) as channel:
        for method, request, code in [
            ("tensorflow.serving.PredictionService/Predict", REQUEST_HEAD, "UNAVAILABLE"),
            ("tensorflow.serving.ModelService/GetModelStatus", REQUEST_HEAD, "NOT_FOUND"),
        ]:
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/{method}")(request, timeout=20, wait_for_ready=True)
            assert caught.value.code().name == code
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert health(b"", timeout=20) == NOT_SERVING

    base.mkdir()
    shutil.copytree(base_path / "123", tmp_path / "copy")
    (base / "not a version").mkdir()
    (base / "7").mkdir()
    (tmp_path / "copy").rename(base / "0123")
    wait_until(lambda: server.state() == "LOADING", "the state LOADING")
    loading = server.predict({"instances": [1]})
    if loading.status != 200:
        assert loading.status == 503
        assert loading.error == f"Model {NAME} version 123 is still loading"
    server.wait_until_ready()
    assert server.predict({"instances": [1]}).status == 200

    body = b'{"instances": [1]}'
    with (
        ThreadPoolExecutor(1) as clients,
        socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as late,
    ):
        running = start_slow(clients, server, 1500)
        late.sendall(
            f"POST /v1/models/{NAME}:predict HTTP/1.1\r\nContent-Length: {len(body)}\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        assert b" 100 " in late.recv(1000)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stop: SIGTERM" in server.log_text(), "the stop to begin")
        assert not running.done()
        wait_until(lambda: server.state() in ("DOWN", "UNLOADING"), "the state to change")
        late.sendall(body)
        answer = late.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"The server is shutting down" in answer
        assert running.result().json == {"outputs": [1500]}
    assert server.wait_for_exit(15) == 0
    log = server.log_text().splitlines()
    assert any("ready: model" in line for line in log)
    assert "stop: SIGTERM" in "\n".join(log)
    assert log[-1].endswith("stopped")
    assert "Traceback" not in server.output()


@pytest.mark.slow
def test_a_loading_server_stops_on_a_signal(
    base_path: Path, start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server(base_path, log_file=tmp_path / "log")
    wait_until(lambda: server.state() == "LOADING", "the state LOADING")
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_for_exit(10) == 0


@pytest.mark.slow
def test_a_second_signal_ends_the_process_at_once(
    base_path: Path, start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server(base_path, log_file=tmp_path / "log").wait_until_ready()
    with ThreadPoolExecutor(1) as clients:
        running = start_slow(clients, server, ENDLESS)
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: "stop: SIGINT" in server.log_text(), "the stop to begin")
        assert server.process.poll() is None
        start = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.wait_for_exit(10) == 128 + signal.SIGINT
        assert time.monotonic() - start < 2
        assert running.exception() is not None
