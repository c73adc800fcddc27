"""How a pod stops: the start script under a real bash, beside a web service, ended by SIGTERM.

The stand-ins for the server ignore SIGTERM, as TensorFlow Serving does.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from serving.tensorflow_serving.scripts import FOLDER
from serving.tensorflow_serving.starting import PROCESS_NAME, SERVER, start_command
from tests.processes import free_ports, is_running, wait_until
from tests.serving.tensorflow_serving.mounted import mounted
from tests.web.keys import ALICE, bearer, write
from tests.web.running import ROOT, WebProcess

MODEL_SERVER = """
import signal, sys, threading
from tests.web.stub_model_server import Behaviour, StubModelServer
signal.signal(signal.SIGTERM, signal.SIG_IGN)
stub = StubModelServer(Behaviour(seconds_per_step=0.25))
print(stub.endpoint, flush=True)
threading.Event().wait()
"""
IDLE = "trap '' TERM; echo $$; until [[ -e {ended} ]]; do read -t 0.05 -r _; done; exit 3"
BUSY = "trap '' TERM; echo $$; end=$((SECONDS + {busy})); while ((SECONDS < end)); do :; done; read"


PORTS = {socket.AF_INET: "/proc/net/tcp", socket.AF_INET6: "/proc/net/tcp6"}


class Container:
    """The start script around a server, whose first line on standard output is `line`."""

    def __init__(self, server: list[str], web_port: int, raw_seconds: float, scripts: Path) -> None:
        command = start_command(server[0], raw_seconds=raw_seconds, web_port=web_port)
        command = mounted(command, scripts)
        self.process = subprocess.Popen(
            [*command, *server[1:]],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout
        self.line = self.process.stdout.readline().strip()

    def sigterm(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None


@contextmanager
def container(
    server: list[str], web_port: int, raw_seconds: float = 0, scripts: Path = FOLDER
) -> Iterator[Container]:
    running = Container(server, web_port, raw_seconds, scripts)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
        running.process.communicate()


@contextmanager
def listening() -> Iterator[socket.socket]:
    """In place of the web service: a port that is open until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        yield bound


def port_of(bound: socket.socket) -> int:
    return int(bound.getsockname()[1])


def idle(tmp_path: Path) -> list[str]:
    """A server that draws nothing, and ends with code 3 once the file `ended` is there."""
    return ["/bin/bash", "-c", IDLE.format(ended=tmp_path / "ended")]


def test_the_process_name_is_the_servers_name_in_proc(tmp_path: Path) -> None:
    program = tmp_path / SERVER
    shutil.copy2("/bin/bash", program)
    command = [str(program), "-c", "read -r name </proc/$$/comm; echo $name"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert shown == PROCESS_NAME


@pytest.mark.slow
def test_the_web_service_draws_its_last_picture_before_the_server_ends(tmp_path: Path) -> None:
    (web_port,) = free_ports(1)
    path = write(tmp_path / "keys.json", ("alice", ALICE))
    pictures: list[httpx.Response] = []
    with container([sys.executable, "-c", MODEL_SERVER], web_port) as server:
        options = [f"--port={web_port}", "--host=0.0.0.0", f"--keys-file={path}"]
        with WebProcess([server.line], options) as web:
            wait_until(lambda: web.get("/ready").status_code == 200, "the model")

            def ask() -> None:
                body = {"prompt": "a red circle", "steps": 12}
                pictures.append(web.post("/sdapi/v1/txt2img", body, headers=bearer(ALICE)))

            asking = threading.Thread(target=ask)
            asking.start()
            status = {"headers": bearer(ALICE)}
            wait_until(
                lambda: web.get("/api/v1/status", **status).json()["drawing"] == 1,
                "the job to be drawn",
            )
            server.sigterm()  # Kubernetes tells all containers of a pod at once
            web.signal(signal.SIGTERM)
            assert web.wait_for_exit() == 0
            asking.join(30)
            assert pictures and pictures[0].status_code == 200
            assert len(pictures[0].json()["images"]) == 1
            assert server.process.wait(10) == 0


def test_a_server_beside_a_closed_web_port_is_ended_at_once(tmp_path: Path) -> None:
    (web_port,) = free_ports(1)
    with container(idle(tmp_path), web_port) as server:
        began = time.monotonic()
        server.sigterm()
        assert server.process.wait(10) == 0
        assert time.monotonic() - began < 5
        assert not is_running(int(server.line))


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_server_goes_on_while_the_web_port_is_open(address: str, tmp_path: Path) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as bound:
        try:
            bound.bind((address, 0))
        except OSError:
            pytest.skip(f"this machine has no {address}")
        bound.listen()
        if f":{port_of(bound):04X} " not in Path(PORTS[family]).read_text():
            pytest.skip("this kernel does not list who listens")
        with container(idle(tmp_path), port_of(bound)) as server:
            for _ in range(2):  # a second signal changes nothing
                server.sigterm()
                time.sleep(1.2)
            assert server.is_running and is_running(int(server.line))
            bound.close()
            assert server.process.wait(10) == 0


def test_a_signal_as_the_server_starts_leaves_none_behind(tmp_path: Path) -> None:
    (web_port,) = free_ports(1)
    scripts = shutil.copytree(FOLDER, tmp_path / "scripts")
    start = scripts / "start.sh"
    before, starting, after = start.read_text().partition('exec 4< <(exec "$@" 2>&1 >&3 3>&-)\n')
    assert starting
    start.write_text(f"{before}{starting}sleep 0.3\n{after}")  # a machine with much to do
    with container(idle(tmp_path), web_port, scripts=scripts) as server:
        server.sigterm()
        assert server.process.wait(10) == 0
        assert not is_running(int(server.line))


def test_a_connection_to_the_port_of_another_host_does_not_keep_the_server(tmp_path: Path) -> None:
    """Only what listens counts, and only on the whole port: not 8080 as a caller's own port."""
    with (
        listening() as bound,
        socket.create_connection(("127.0.0.1", port_of(bound))) as caller,
        container(idle(tmp_path), port_of(caller)) as server,
    ):
        server.sigterm()
        assert server.process.wait(10) == 0


def test_a_server_that_ends_by_itself_during_the_stop_ends_the_container(tmp_path: Path) -> None:
    with listening() as bound, container(idle(tmp_path), port_of(bound)) as server:
        server.sigterm()
        (tmp_path / "ended").touch()
        assert server.process.wait(10) == 3


@pytest.mark.slow
def test_others_requests_to_the_server_itself_are_finished() -> None:
    (web_port,) = free_ports(1)
    busy = ["/bin/bash", "-c", BUSY.format(busy=4)]
    with container(busy, web_port, raw_seconds=0.1) as server:
        began = time.monotonic()
        server.sigterm()
        assert server.process.wait(60) == 0
        assert time.monotonic() - began >= 6  # two samples of 2 s begin when it has ended


@pytest.mark.slow
def test_a_server_that_others_use_waits_until_they_know_that_it_stops(tmp_path: Path) -> None:
    (web_port,) = free_ports(1)
    with container(idle(tmp_path), web_port, raw_seconds=3) as server:
        began = time.monotonic()
        server.sigterm()
        assert server.process.wait(60) == 0
        assert time.monotonic() - began >= 3 + 4
