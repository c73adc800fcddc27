"""Asking again: what is repeated and how often, what is said, and with which seed."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from client import (
    Client,
    Limits,
    ModelLoadingError,
    Picture,
    PictureRequest,
    QueueFullError,
    RequestTimeoutError,
    StackOutputError,
    StackOutputs,
    UnreachableError,
)
from client.command_line.progress import Progress
from client.retry import until_deadline
from client.stacks import starting
from client.time_limits import LOADING_SECONDS
from client.transports.http_messages import retry_after_seconds
from infra.local.server_process import READY_TIMEOUT_SECONDS
from prediction.description import Served
from prediction.errors import Repeat
from tests.client.commands import CommandLine, Ran
from tests.client.fake_rpc import FakeRpc
from tests.client.fake_serving import MODEL_NAME, QUEUE_FULL, FakeServing, Reply, error

pytestmark = pytest.mark.slow

Generate = Callable[..., Ran]


@pytest.fixture(params=["rest", "grpc"])
def endpoint(request: pytest.FixtureRequest, server: FakeServing) -> Iterator[str]:
    """The same server, by each of its ports."""
    rpc = FakeRpc(server)
    yield server.endpoint if request.param == "rest" else rpc.endpoint
    rpc.close()


@pytest.fixture
def generate(run: CommandLine, endpoint: str) -> Generate:
    return lambda *options: run("generate", "x", "--endpoint", endpoint, *options)


def reply_first(server: FakeServing, times: int, reply: Reply) -> None:
    """The next `times` predictions get this reply."""
    left = iter(range(times))
    server.before_predict = lambda: setattr(
        server, "predict_reply", None if next(left, None) is None else reply
    )


def test_a_full_queue_is_asked_again_and_each_wait_is_a_line(
    generate: Generate, server: FakeServing
) -> None:
    reply_first(server, 2, error(503, QUEUE_FULL))
    ran = generate()
    assert ran.code == 0
    lines = ran.err.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert re.search(r"is full .*; asking again in \d\.\d s \(--no-retry gives up\)$", line)


def test_every_attempt_asks_for_the_same_picture(
    generate: Generate, server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed is drawn once, though none was given."""
    asked: list[bytes] = []
    predict = server.predict

    def record(path: str, body: bytes) -> Reply:
        if b"describe" not in body:
            asked.append(body)
        return predict(path, body)

    monkeypatch.setattr(server, "predict", record)
    reply_first(server, 2, error(503, QUEUE_FULL))
    assert generate().code == 0
    assert len(asked) == 3
    assert len(set(asked)) == 1


def test_without_retries_the_first_answer_counts(generate: Generate, server: FakeServing) -> None:
    reply_first(server, 1, error(503, QUEUE_FULL))
    ran = generate("--no-retry")
    assert ran.code == 6
    assert "is full" in ran.error_line
    assert server.rows == []


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 504])
def test_a_refused_request_is_never_repeated(
    generate: Generate, server: FakeServing, status: int
) -> None:
    asked: list[int] = []
    server.before_predict = lambda: asked.append(1)
    server.predict_reply = error(status, "no")
    assert generate().code != 0
    assert asked == [1]


def test_a_server_that_comes_up_is_asked_again(run: CommandLine, free_port: int) -> None:
    """Also where no more is known than that the connection was refused."""
    started: list[FakeServing] = []

    def start() -> None:
        started.append(FakeServing(port=free_port))

    threading.Timer(0.5, start).start()
    ran = run("generate", "x", "--endpoint", f"http://127.0.0.1:{free_port}")
    for server in started:
        server.close()
    assert ran.code == 0, ran.err
    assert "(connection refused)" in ran.err.splitlines()[0]


class Dropping:
    """Passes connections on to a server, and drops the first `count` once a request is there."""

    def __init__(self, server: FakeServing, endpoint: str, count: int) -> None:
        scheme, _, address = endpoint.partition("://")
        host, _, port = address.rpartition(":")
        self._to = (host, int(port))
        self._server = server
        self._count = count
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self) -> None:
        """Reset all connections: called by the server when a request has come."""
        if self._count == 0:
            return
        self._count -= 1
        for connection in self._open:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):  # the client may have closed it
                connection.shutdown(socket.SHUT_RD)  # wakes the thread that reads from it
            connection.close()
        self._open.clear()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            there = socket.create_connection(self._to)
            self._open.append(here)
            for reading, writing in ((here, there), (there, here)):
                threading.Thread(target=self._copy, args=(reading, writing), daemon=True).start()

    @staticmethod
    def _copy(reading: socket.socket, writing: socket.socket) -> None:
        try:
            while data := reading.recv(65536):
                writing.sendall(data)
        except OSError:
            pass


@pytest.mark.parametrize(("lost", "asked", "code"), [(1, 2, 0), (2, 3, 0), (3, 3, 4), (9, 3, 4)])
def test_a_connection_lost_in_mid_picture_is_asked_again_at_most_twice(
    run: CommandLine, server: FakeServing, endpoint: str, lost: int, asked: int, code: int
) -> None:
    dropping = Dropping(server, endpoint, lost)
    came: list[int] = []

    def come() -> None:
        came.append(1)
        dropping.drop()

    server.before_predict = come
    ran = run("generate", "x", "--endpoint", dropping.endpoint, "--timeout", "30")
    dropping.close()
    assert (ran.code, len(came)) == (code, asked), ran.err


@pytest.mark.parametrize("reason", [0, 2, 7, 8, 11])
def test_a_grpc_stream_that_a_gateway_resets_is_a_lost_connection(reason: int) -> None:
    """gRPC gives each of HTTP/2's reasons another code."""
    reset = (4).to_bytes(3) + b"\3\0" + (1).to_bytes(4) + reason.to_bytes(4)
    settings = b"\0\0\0\4\0\0\0\0\0"

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(settings)
            content = b""
            while b"blue moon" not in content:
                content += connection.recv(65536)
            connection.sendall(reset)
            connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        endpoint = f"grpc://127.0.0.1:{listener.getsockname()[1]}"
        with (
            Client(endpoint, timeout_seconds=10) as client,
            pytest.raises(UnreachableError) as lost,
        ):
            client.known = Served(Limits())
            client.send(PictureRequest("blue moon", "", 1, 3.0, 1))
    assert lost.value.repeat is Repeat.SPARINGLY
    assert "stream removed" in str(lost.value)


def test_retry_after_is_honoured(server: FakeServing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: low)
    waits: list[float] = []
    server.retry_after = "7"
    reply_first(server, 2, error(503, QUEUE_FULL))
    with Client(server.endpoint) as client:
        request = client.prepare("x")
        until_deadline(
            client,
            lambda seconds: client.send(request, seconds),
            before_retry=lambda *_: None,
            sleep=waits.append,
        )
    assert waits == [7.0, 7.0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0), ("soon", 0), ("-1", 0), ("3", 3), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float) -> None:
    assert retry_after_seconds({"Retry-After": text}) == seconds
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < retry_after_seconds({"Retry-After": later}) <= 90


def test_a_wait_that_is_too_long_is_not_begun(server: FakeServing) -> None:
    server.retry_after = "3600"
    server.predict_reply = error(503, QUEUE_FULL)
    with Client(server.endpoint) as client, pytest.raises(QueueFullError):
        client.generate("x")


def test_the_library_retries_and_logs_unless_told_otherwise(
    server: FakeServing, caplog: pytest.LogCaptureFixture
) -> None:
    reply_first(server, 1, error(503, QUEUE_FULL))
    with Client(server.endpoint) as client, caplog.at_level(logging.WARNING, "client"):
        assert client.generate("x", seed=1).seed == 1
    assert "is full" in caplog.text
    assert "asking again in" in caplog.text
    reply_first(server, 1, error(503, QUEUE_FULL))
    with Client(server.endpoint, retry=False) as client, pytest.raises(QueueFullError):
        client.generate("x")
    reply_first(server, 1, error(503, QUEUE_FULL))
    with Client(server.endpoint) as client, pytest.raises(QueueFullError):
        client.send(client.prepare("x"))


def test_a_loading_model_is_one_wait(generate: Generate, server: FakeServing) -> None:
    server.state = "LOADING"
    threading.Timer(1.0, setattr, (server, "state", "AVAILABLE")).start()
    ran = generate()
    assert ran.code == 0
    assert ran.err.count("\n") == 1
    assert "is still loading 'stable-diffusion'" in ran.err
    assert "waiting for it (--no-wait gives up)" in ran.err


@pytest.mark.parametrize("option", ["--no-wait", "--no-retry"])
def test_a_script_gets_the_answer_of_a_loading_server_at_once(
    generate: Generate, server: FakeServing, option: str
) -> None:
    server.state = "LOADING"
    started = time.monotonic()
    ran = generate(option)
    assert ran.code == 5
    assert "is still loading" in ran.error_line
    assert time.monotonic() - started < 10


def test_a_model_has_longer_to_load_than_a_picture_to_be_drawn(
    server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture's time begins when the model is ready."""
    monkeypatch.setattr("client.time_limits.TIMEOUT_MARGIN_SECONDS", 0.0)
    monkeypatch.setattr("random.uniform", lambda low, high: min(high, 0.1))
    limits = Limits(request_timeout_seconds=0.5)
    server.state = "LOADING"
    threading.Timer(1.5, setattr, (server, "state", "AVAILABLE")).start()
    with Client(server.endpoint, limits=limits) as client:
        assert client.generate("x", seed=1).seed == 1
        server.state = "LOADING"
        monkeypatch.setattr("client.time_limits.LOADING_SECONDS", 0.3)
    for options in ({"limits": limits}, {"timeout_seconds": 0.5}):
        started = time.monotonic()
        with Client(server.endpoint, **options) as client, pytest.raises(ModelLoadingError):
            client.generate("x", seed=1)
        assert time.monotonic() - started < 1.4


def test_a_model_has_as_long_to_load_as_make_up_gives_it() -> None:
    assert LOADING_SECONDS == READY_TIMEOUT_SECONDS


def test_a_given_timeout_counts_for_loading_and_picture_together(
    generate: Generate, server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    send = Client.send

    def record(client: Client, request: PictureRequest, seconds: float, *more: Any) -> Picture:
        given.append(seconds)
        return send(client, request, seconds, *more)

    monkeypatch.setattr(Client, "send", record)
    server.state = "LOADING"
    threading.Timer(1.0, setattr, (server, "state", "AVAILABLE")).start()
    assert generate("--timeout", "30", "--count", "2").code == 0
    assert given[0] <= 29.5
    assert given[1] > 29.9


def test_one_attempt_ends_in_time_even_if_the_model_is_asked_first(
    server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first request waits for the model's description, and then for its picture."""
    describe = server.describe
    monkeypatch.setattr(server, "describe", lambda *asked: (time.sleep(0.7), describe(*asked))[1])
    server.hold = threading.Event()
    started = time.monotonic()
    with Client(server.endpoint, timeout_seconds=1) as client, pytest.raises(RequestTimeoutError):
        client.generate("x")
    assert time.monotonic() - started < 1.5


def test_threads_that_ask_a_server_that_hangs_all_end_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(endpoint, timeout_seconds=0.5) as client, ThreadPoolExecutor(6) as pool:
            started = time.monotonic()
            asked = [pool.submit(client.describe) for _ in range(6)]
            assert all(isinstance(one.exception(), RequestTimeoutError) for one in asked)
            assert time.monotonic() - started < 1.5


def test_no_wait_says_of_a_starting_server_that_it_is(
    run: CommandLine, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = StackOutputs(
        f"http://127.0.0.1:{free_port}", "", MODEL_NAME, "", "", Limits(), "", ""
    )
    monkeypatch.setattr("client.command_line.connection.read_stack", lambda _: outputs)
    monkeypatch.setattr(starting, "running_seconds", lambda *_: 5.0)
    ran = run("generate", "x", "--no-wait")
    assert ran.code == 5
    assert "is starting" in ran.error_line


def test_no_wait_does_not_wait_for_a_server_that_is_down(run: CommandLine, free_port: int) -> None:
    ran = run("generate", "x", "--no-wait", "--endpoint", f"http://127.0.0.1:{free_port}")
    assert ran.code == 4
    assert "(connection refused)" in ran.error_line


def test_no_wait_still_asks_a_full_server_again(generate: Generate, server: FakeServing) -> None:
    reply_first(server, 1, error(503, QUEUE_FULL))
    assert generate("--no-wait").code == 0


def test_a_starting_server_that_does_not_listen_yet_is_loading(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record tells, of the stack `local`."""
    runs: dict[str, Any] = {"seconds": 5.0}
    monkeypatch.setattr(starting, "running_seconds", lambda *_: runs["seconds"])
    said: list[str] = []
    with Client(
        f"http://127.0.0.1:{free_port}",
        timeout_seconds=30,
        is_starting=lambda: starting.is_running("local"),
    ) as client:

        def give_up(problem: Exception, _seconds: float) -> None:
            said.append(f"{type(problem).__name__}: {problem}")
            if len(said) == 2:
                raise KeyboardInterrupt
            runs["seconds"] = None

        with pytest.raises(KeyboardInterrupt):
            until_deadline(client, client.describe, before_retry=give_up)
    assert said[0].startswith("ModelLoadingError: the server for http://127.0.0.1:")
    assert said[1].startswith(f"{UnreachableError.__name__}: no response from")


def test_the_first_deployment_of_the_local_stack_is_waited_for(
    run: CommandLine, server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its outputs are missing until its server has started."""
    outputs = StackOutputs(server.endpoint, "", MODEL_NAME, "", "", Limits(), "", "")
    asked: list[str] = []

    def read_stack(stack: str) -> StackOutputs:
        asked.append(stack)
        if len(asked) < 3:
            raise StackOutputError("stack local has no output `endpoint`: deploy it with `make up`")
        return outputs

    monkeypatch.setattr("client.command_line.connection.read_stack", read_stack)
    monkeypatch.setattr("client.command_line.connection._POLL_SECONDS", 0.01)
    monkeypatch.setattr(starting, "running_seconds", lambda *_: 5.0)
    assert run("generate", "x", "--no-wait").code == 4
    ran = run("generate", "x")
    assert ran.code == 0
    assert ran.error_line.startswith("stack local is being deployed; waiting for it")
    asked.clear()
    monkeypatch.setattr(starting, "running_seconds", lambda *_: None)
    assert run("generate", "x").code == 4
    assert asked == ["local"]


def test_a_wait_for_the_model_shows_the_elapsed_time_and_an_estimate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr("client.command_line.progress.time.monotonic", lambda: clock[0])
    progress = Progress(1, io.StringIO())
    with progress.preparation():
        assert progress.line() == ""
        progress.wait_for("the model", 20)
        clock[0] += 5
        assert progress.line() == "picture 1 of 1, waiting for the model, 5 s, about 15 s left"
        clock[0] += 30
        assert progress.line() == "picture 1 of 1, waiting for the model, 35 s"
        progress.wait_for("")
        assert progress.line() == ""
