"""Slow, silent and old clients, and those that stop halfway: none keeps another from an answer."""

from __future__ import annotations

import contextlib
import http.client
import resource
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from email.message import Message
from typing import Any

import pytest

from devserver.memory import MemoryBudget
from devserver.rest.api import Response
from devserver.rest.connection import ConnectionLimits
from devserver.rest.http_server import HttpServer
from tests.processes import free_ports, wait_until

pytestmark = pytest.mark.slow

QUICK = ConnectionLimits(
    connections=230,
    idle_seconds=1.0,
    head_seconds=0.4,
    body_seconds=1.2,
    pause_seconds=0.4,
    linger_seconds=0.2,
)
PATIENT = ConnectionLimits(connections=230)
WHOLE = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nok"


class Echo:
    """Answers with the body, or as many bytes as the path says, after `/held` is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def handle(self, method: str, path: str, headers: Message, body: bytes) -> Response:
        if path == "/held":
            self.let_go.wait(20)
        size = path[1:]
        return Response(200, b"x" * int(size) if size.isdigit() else body, "text/plain")


@contextlib.contextmanager
def running(limits: ConnectionLimits, threads: int = 3) -> Iterator[HttpServer]:
    api: Any = Echo()
    (port,) = free_ports(1)
    server = HttpServer("127.0.0.1", port, api, threads, MemoryBudget(), limits)
    server.start()
    try:
        yield server
    finally:
        api.let_go.set()
        server.stop(time.monotonic() + 5)


@pytest.fixture
def quick() -> Iterator[HttpServer]:
    with running(QUICK) as server:
        yield server


def address(server: HttpServer) -> tuple[str, int]:
    host, port = server.server_address[:2]
    return str(host), port


def connect(server: HttpServer) -> socket.socket:
    return socket.create_connection(address(server), timeout=10)


def exchange(server: HttpServer, sent: bytes) -> bytes:
    """What comes until the server closes the connection."""
    with connect(server) as connection:
        connection.sendall(sent)
        return rest_of(connection)


def rest_of(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
    return received


def is_answered(server: HttpServer) -> bool:
    connection = http.client.HTTPConnection(*address(server), timeout=5)
    try:
        connection.request("POST", "/", b"ok")
        return connection.getresponse().read() == b"ok"
    finally:
        connection.close()


HALVES = {
    "nothing": b"",
    "half a request line": b"POST /v1/mod",
    "half of the headers": b"POST / HTTP/1.1\r\nContent-Len",
    "half of a body": b"POST / HTTP/1.1\r\nContent-Length: 100000000\r\n\r\nabc",
    "half of a chunk": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFF\r\nabc",
}


def test_200_clients_that_stop_halfway_hold_no_slot() -> None:
    with running(PATIENT, threads=3) as server, contextlib.ExitStack() as stack:
        for sent in list(HALVES.values()) * 40:
            stack.enter_context(connection := connect(server))
            connection.sendall(sent)
        assert all(is_answered(server) for _ in range(5))


@pytest.mark.parametrize("sent", HALVES.values(), ids=HALVES.keys())
def test_a_client_that_stops_halfway_is_closed(quick: HttpServer, sent: bytes) -> None:
    start = time.monotonic()
    received = exchange(quick, sent)
    assert time.monotonic() - start < 4
    assert received == b"" or received.startswith(b"HTTP/1.1 408 ")
    assert received.startswith(b"HTTP/1.1 408 ") == (b"\r\n\r\n" in sent), "only a body's client"


@pytest.mark.parametrize("sent", [b"POST / HTTP/1.1\r\nA: ", HALVES["half of a body"]])
def test_a_client_that_sends_a_byte_now_and_then_is_closed(quick: HttpServer, sent: bytes) -> None:
    with connect(quick) as connection:
        connection.sendall(sent)
        start = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - start < 6:
                connection.sendall(b"a")
                connection.settimeout(0.1)
                with contextlib.suppress(TimeoutError):
                    if not connection.recv(65536):
                        break
        assert time.monotonic() - start < 4


def test_an_idle_connection_is_closed_after_a_time(quick: HttpServer) -> None:
    with connect(quick) as connection:
        connection.sendall(WHOLE)
        assert connection.recv(65536).endswith(b"ok")
        start = time.monotonic()
        assert connection.recv(1) == b""
        assert 0.5 < time.monotonic() - start < 4


def test_a_client_that_does_not_read_its_answer_holds_no_slot() -> None:
    with running(PATIENT, threads=2) as server, contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connection := connect(server))
            connection.sendall(b"GET /50000000 HTTP/1.1\r\n\r\n")
        assert is_answered(server)


def test_more_connections_than_allowed_get_503_and_those_there_go_on() -> None:
    limits = ConnectionLimits(connections=3, linger_seconds=0.2)
    with running(limits) as server:
        with contextlib.ExitStack() as stack:
            there = [stack.enter_context(connect(server)) for _ in range(3)]
            for connection in there:
                connection.sendall(WHOLE)
                assert connection.recv(65536).endswith(b"ok")
            assert rest_of(stack.enter_context(connect(server))).startswith(b"HTTP/1.1 503 ")
            there[0].sendall(WHOLE)
            assert there[0].recv(65536).endswith(b"ok")

        def is_free() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return is_answered(server)
            return False

        wait_until(is_free, "a place to become free", 5)


def test_headers_without_end_are_refused(quick: HttpServer) -> None:
    lines = b"".join(b"A%d: %b\r\n" % (n, b"x" * 60_000) for n in range(8))
    received = exchange(quick, b"GET / HTTP/1.1\r\n" + lines)
    assert received.startswith(b"HTTP/1.1 431 ")


def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    with running(PATIENT) as server:
        connection = http.client.HTTPConnection(*address(server), timeout=10)
        connection.request("POST", "/", b"x" * 2_000_000, {"Transfer-Encoding": "gzip"})
        assert connection.getresponse().status == 400
        connection.close()


# What is sent, and the first line and the `Connection` header of every response to it. The last
# response of each is followed by the connection's end.
EXCHANGES: dict[str, tuple[bytes, Sequence[tuple[int, str | None]]]] = {
    "old": (b"GET / HTTP/1.0\r\n\r\n" * 2, [(200, "close")]),
    "old, kept": (
        b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        [(200, "keep-alive"), (200, "close")],
    ),
    "one of several wishes": (
        b"GET / HTTP/1.0\r\nConnection: TE, keep-alive\r\n\r\n"
        b"GET / HTTP/1.1\r\nConnection: TE, close\r\n\r\n",
        [(200, "keep-alive"), (200, "close")],
    ),
    "pipelined": (WHOLE * 3 + b"GET / HTTP/1.0\r\n\r\n", [(200, None)] * 3 + [(200, "close")]),
    "with a host": (b"GET http://a.b:1/3 HTTP/1.1\r\nConnection: close\r\n\r\n", [(200, "close")]),
    "two framings": (
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        [(400, "close")],
    ),
    "two encodings": (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        [(400, "close")],
    ),
    "a space before the colon": (
        b"POST / HTTP/1.1\r\nContent-Length : 5\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        [(400, "close")],
    ),
    "a chunk longer than it says": (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
        [(400, "close")],
    ),
    "a chunk's size without end": (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 2000,
        [(400, "close")],
    ),
    "too large to be asked for": (
        b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 100000001\r\n\r\n",
        [(413, "close")],
    ),
}


@pytest.mark.parametrize(("sent", "expected"), EXCHANGES.values(), ids=EXCHANGES.keys())
def test_connections_are_kept_and_closed_as_http_says(
    quick: HttpServer, sent: bytes, expected: Sequence[tuple[int, str | None]]
) -> None:
    rest = exchange(quick, sent)
    seen: list[tuple[int, str | None]] = []
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ") for line in lines)
        seen.append((int(status.split()[1]), headers.get("Connection")))
        rest = rest[int(headers.get("Content-Length", len(rest))) :]
    assert seen == list(expected)


def test_a_process_that_may_open_few_files_takes_few_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    assert ConnectionLimits().connections == 128


def test_a_client_that_resets_its_connection_leaves_no_error(
    quick: HttpServer, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(quick) as connection:
        connection.sendall(HALVES["half of a body"])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert is_answered(quick)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_head_request_gets_the_length_without_the_body(quick: HttpServer) -> None:
    received = exchange(quick, b"HEAD /7 HTTP/1.1\r\nConnection: close\r\n\r\n")
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Content-Length: 7" in head
    assert body == b""


@pytest.mark.skipif(not shutil.which("ab"), reason="needs ab, Apache's benchmark")
def test_ab_with_keep_alive_ends(quick: HttpServer) -> None:
    host, port = address(quick)
    command = ["ab", "-k", "-q", "-n", "100", "-c", "5", f"http://{host}:{port}/10"]
    report = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    assert "Failed requests:        0" in report
    assert "Keep-Alive requests:    100" in report
