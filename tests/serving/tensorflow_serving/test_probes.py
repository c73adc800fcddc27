"""The probes, run by a real bash against stand-ins for the server's status page."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from serving.tensorflow_serving.probes import alive_command, ready_command
from tests.serving.tensorflow_serving.mounted import mounted

PATH = "/v1/models/stable-diffusion"
NO_PROCESS = "no_such_process"


def page(*states: str) -> bytes:
    """The status page as TensorFlow Serving writes it."""
    found = [
        {"version": str(i), "state": state, "status": {"error_code": "OK", "error_message": ""}}
        for i, state in enumerate(states, 1)
    ]
    return json.dumps({"model_version_status": found}, indent=1).encode() + b"\n"


@contextmanager
def server(body: bytes, status: int = 200, delay_seconds: float = 0) -> Iterator[int]:
    """The port of a server whose status page is `body`."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ended.wait(delay_seconds)
            self.send_response(status if self.path == PATH else 400)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.05,)).start()
        try:
            yield httpd.server_port
        finally:
            ended.set()
            httpd.shutdown()


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as one:
        return one.getsockname()[1]


def output(command: list[str]) -> tuple[bool, str]:
    """Whether the probe succeeds, and what it says."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.returncode == 0, done.stdout.strip()


def ready(port: int, answer_seconds: float = 20) -> tuple[bool, str]:
    return output(mounted(ready_command(port, answer_seconds)))


def alive(port: int, answer_seconds: float = 20, process: str = NO_PROCESS) -> tuple[bool, str]:
    return output(mounted(alive_command(port, answer_seconds, process)))


def test_a_model_that_is_available_is_ready_and_alive() -> None:
    with server(page("AVAILABLE")) as port:
        assert ready(port) == (True, "")
        assert alive(port) == (True, "")


@pytest.mark.parametrize("state", ["START", "LOADING", "UNLOADING"])
def test_a_model_that_loads_or_unloads_is_alive_and_not_ready(state: str) -> None:
    with server(page(state)) as port:
        assert ready(port) == (False, f"model stable-diffusion is in state {state}")
        assert alive(port) == (True, "")


def test_a_model_that_was_unloaded_is_neither_ready_nor_alive() -> None:
    with server(page("END")) as port:
        assert ready(port) == alive(port) == (False, "model stable-diffusion is in state END")


def test_an_earlier_version_that_was_unloaded_does_not_matter() -> None:
    with server(page("END", "AVAILABLE")) as port:
        assert ready(port) == alive(port) == (True, "")


def test_a_server_without_the_model_is_neither_ready_nor_alive() -> None:
    missing = b'{\n "error": "Could not find any versions of model stable-diffusion"\n}\n'
    with server(missing, status=404) as port:
        said = "no state of model stable-diffusion: HTTP/1.0 404 Not Found"
        assert ready(port) == alive(port) == (False, said)


def test_a_server_with_other_errors_is_alive_and_not_ready() -> None:
    with server(b"{}", status=503) as port:
        assert ready(port)[0] is False
        assert alive(port) == (True, "")


def test_a_server_that_answers_late_is_alive_and_not_ready() -> None:
    with server(page("AVAILABLE"), delay_seconds=60) as port:
        began = time.monotonic()
        assert ready(port, 0.3) == (False, "no answer within 0.3 s")
        assert alive(port, 0.3) == (True, "")
        assert time.monotonic() - began < 20


def test_a_server_that_does_not_accept_connections_is_alive_and_not_ready() -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        assert ready(port, 0.3)[0] is False
        assert alive(port, 0.3) == (True, "")
        for one in waiting:
            one.close()


def test_a_server_that_has_not_opened_its_ports_is_alive_and_not_ready(tmp_path: Path) -> None:
    program = tmp_path / "tf_probe_test"
    shutil.copy2("/bin/bash", program)
    port = free_port()
    with subprocess.Popen([program, "-c", "read -r _"], stdin=subprocess.PIPE) as process:
        try:
            assert alive(port, process="tf_probe_test") == (True, "")
            said = "the server opens it once it has loaded model stable-diffusion"
            assert ready(port) == (False, f"port {port} is closed: {said}")
        finally:
            process.kill()


def test_a_server_whose_process_is_gone_is_not_alive() -> None:
    assert alive(free_port()) == (False, "the server's process is gone")
