"""The client for coroutines."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from client import (
    AsyncClient,
    Client,
    ClientError,
    Limits,
    ModelState,
    Picture,
    PictureRequest,
    Protocol,
    QueueFullError,
    RequestTimeoutError,
    UnexpectedAnswerError,
    UnreachableError,
)
from client.stacks.discovery import PROJECT_ROOT
from prediction.description import Served
from tests.client.fake_rpc import FakeRpc
from tests.client.fake_serving import QUEUE_FULL, FakeServing, error

pytestmark = pytest.mark.slow


def test_requests_run_concurrently_and_results_keep_their_order(server: FakeServing) -> None:
    all_arrived = threading.Barrier(8, timeout=20)
    server.before_predict = lambda: (all_arrived.wait(), None)[1]

    async def draw() -> list[int]:
        async with AsyncClient(Client(server.endpoint)) as client:
            assert (await client.status()).state is ModelState.READY
            pictures = await asyncio.gather(*(client.generate("x", seed=s) for s in range(8)))
        return [picture.seed for picture in pictures]

    assert asyncio.run(draw()) == list(range(8))


def test_the_number_in_flight_is_bounded(server: FakeServing) -> None:
    in_flight, most, lock = 0, 0, threading.Lock()

    def count(by: int) -> None:
        nonlocal in_flight, most
        with lock:
            in_flight += by
            most = max(most, in_flight)

    pair = threading.Barrier(2, timeout=20)

    def arrive() -> None:
        count(1)
        pair.wait()
        time.sleep(0.05)  # long enough for any other request to arrive

    server.before_predict = arrive
    reply = server.prediction

    def answered(row: dict[str, object]) -> dict[str, object]:
        count(-1)
        return reply(row)

    server.prediction = answered  # type: ignore[method-assign]

    async def draw() -> None:
        async with AsyncClient(Client(server.endpoint), max_in_flight=2) as client:
            await asyncio.gather(*(client.generate("x", seed=s) for s in range(8)))

    asyncio.run(draw())
    assert len(server.rows) == 8
    assert most == 2


def test_the_time_of_a_request_begins_with_its_turn(server: FakeServing) -> None:
    """A refusal is repeated, however long the requests before took."""
    server.retry_after = "1"
    delays = iter([1.8])

    def arrive() -> None:
        server.predict_reply = None if len(server.rows) != 1 else error(503, QUEUE_FULL)
        time.sleep(next(delays, 0.0))
        if server.predict_reply is not None:
            server.rows.append({})

    async def draw() -> None:
        client = Client(server.endpoint, timeout_seconds=2.8)
        client.known = Served(Limits())
        async with AsyncClient(client, max_in_flight=1) as several:
            await asyncio.gather(*(several.generate("x", seed=s) for s in range(2)))

    server.before_predict = arrive
    asyncio.run(draw())


def test_tasks_that_ask_a_server_that_hangs_all_end_in_time() -> None:
    async def ask(endpoint: str) -> list[object]:
        async with AsyncClient(Client(endpoint, timeout_seconds=0.5)) as client:
            return await asyncio.gather(
                *(client.describe() for _ in range(6)), return_exceptions=True
            )

    with socket.create_server(("127.0.0.1", 0)) as listener:
        started = time.monotonic()
        answers = asyncio.run(ask(f"http://127.0.0.1:{listener.getsockname()[1]}"))
    assert all(isinstance(answer, RequestTimeoutError) for answer in answers)
    assert time.monotonic() - started < 1.5


def test_errors_are_the_clients_own(server: FakeServing) -> None:
    server.predict_reply = error(503, QUEUE_FULL)

    async def draw() -> None:
        async with AsyncClient(Client(server.endpoint, retry=False)) as client:
            await client.generate("x")

    with pytest.raises(QueueFullError):
        asyncio.run(draw())


def test_a_cancelled_task_stops_waiting_at_once(server: FakeServing) -> None:
    server.hold = threading.Event()

    async def draw() -> None:
        async with AsyncClient(Client(server.endpoint, timeout_seconds=30)) as client:
            task = asyncio.create_task(client.generate("x"))
            while not server.arrived.is_set():
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(asyncio.wait_for(draw(), 10))
    server.hold.set()


@pytest.fixture(params=["rest", "grpc"])
def endpoint(request: pytest.FixtureRequest, server: FakeServing) -> Iterator[str]:
    """The same server, by each of its ports."""
    rpc = FakeRpc(server)
    yield server.endpoint if request.param == "rest" else rpc.endpoint
    rpc.close()


@pytest.mark.parametrize(("scheme", "protocol"), [("http", Protocol.REST), ("grpc", Protocol.GRPC)])
def test_cancelling_closes_the_connection_and_leaves_no_thread(
    scheme: str, protocol: Protocol
) -> None:
    """Seen from the server: its side of the connection ends."""
    served, closed = socket.create_server(("127.0.0.1", 0)), threading.Event()
    requested = threading.Event()

    def serve() -> None:
        connection, _ = served.accept()
        if scheme == "grpc":  # an empty settings frame makes the connection ready
            connection.sendall(b"\0\0\0\4\0\0\0\0\0")
        with connection, contextlib.suppress(OSError):
            content = b""
            while data := connection.recv(65536):
                content += data
                if b"blue moon" in content:
                    requested.set()
                if scheme == "grpc" and requested.is_set() and b"\0\0\4\3\0" in data:
                    break  # RST_STREAM: the call is cancelled, the connection stays
        closed.set()

    thread = threading.Thread(target=serve)
    thread.start()
    endpoint = f"{scheme}://127.0.0.1:{served.getsockname()[1]}"
    request = PictureRequest("blue moon", "", 1, 3.0, 1)

    async def draw() -> None:
        sync = Client(endpoint, protocol=protocol, timeout_seconds=60)
        sync.known = Served(Limits())
        async with AsyncClient(sync) as client:
            task = asyncio.create_task(client.send(request))
            while not requested.is_set():
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not closed.is_set():
                await asyncio.sleep(0.01)
            assert not [t for t in threading.enumerate() if t.name.startswith("client")]

    asyncio.run(asyncio.wait_for(draw(), 30))
    thread.join(20)
    served.close()


def test_a_request_in_flight_does_not_hold_up_the_exit(endpoint: str, server: FakeServing) -> None:
    server.hold = threading.Event()
    program = (
        "import asyncio, sys\n"
        "from client import AsyncClient, Client\n"
        "async def main():\n"
        "    client = AsyncClient(Client(sys.argv[1]))\n"
        "    asyncio.create_task(client.generate('x', seed=1))\n"
        "    await asyncio.to_thread(sys.stdin.readline)\n"
        "asyncio.run(main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, endpoint],
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.arrived.wait(30)
        started = time.monotonic()
        _, stderr = process.communicate("\n", timeout=15)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    assert time.monotonic() - started < 10


def test_both_clients_draw_the_same(endpoint: str, server: FakeServing) -> None:
    async def draw() -> Picture:
        async with AsyncClient(Client(endpoint)) as client:
            return await client.generate("a ☆", negative_prompt="ö", num_steps=3, seed=5)

    with Client(endpoint) as client:
        picture = client.generate("a ☆", negative_prompt="ö", num_steps=3, seed=5)
    assert replace(asyncio.run(draw()), seconds=0) == replace(picture, seconds=0)
    assert server.rows[0] == server.rows[1]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "not of type"),
        (403, "go away"),
        (404, "Servable not found"),
        (429, "Run() timeout exceeded"),
        (500, "boom"),
        (501, "not here"),
        (503, QUEUE_FULL),
        (504, "Timed out waiting"),
    ],
)
def test_every_failure_is_the_synchronous_clients(
    endpoint: str, server: FakeServing, status: int, message: str
) -> None:
    server.predict_reply = error(status, message)
    assert_same_failure(endpoint)


@pytest.mark.parametrize("state", ["START", "LOADING", "END"])
def test_a_model_that_is_not_ready_is_the_same_failure(
    endpoint: str, server: FakeServing, state: str
) -> None:
    server.state = state
    assert_same_failure(endpoint)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff\xfe\x00", b'{"predictions": []}'])
def test_a_response_without_a_picture_is_the_same_failure(
    endpoint: str, server: FakeServing, content: bytes
) -> None:
    server.predict_reply = (200, content)
    assert_same_failure(endpoint)


@pytest.mark.parametrize("scheme", ["http", "https", "grpc"])
def test_wrong_addresses_are_the_same_failures(
    server: FakeServing, free_port: int, scheme: str
) -> None:
    rpc = FakeRpc(server)
    try:
        for address in (server.endpoint, rpc.endpoint, f"http://127.0.0.1:{free_port}"):
            endpoint = f"{scheme}://{address.partition('://')[2]}"
            if endpoint not in (server.endpoint, rpc.endpoint):
                assert_same_failure(endpoint)
    finally:
        rpc.close()


def assert_same_failure(endpoint: str) -> None:
    async def draw() -> None:
        async with AsyncClient(Client(endpoint, retry=False, timeout_seconds=10)) as client:
            await client.generate("x", seed=1)

    with (
        Client(endpoint, retry=False, timeout_seconds=10) as client,
        pytest.raises(ClientError) as expected,
    ):
        client.generate("x", seed=1)
    with pytest.raises(ClientError) as raised:
        asyncio.run(draw())
    assert type(raised.value) is type(expected.value)
    assert str(raised.value) == str(expected.value)
    for name in ("status", "repeat", "retry_after_seconds"):
        assert getattr(raised.value, name) == getattr(expected.value, name)


def test_a_time_limit_holds_for_a_slow_answer(endpoint: str, server: FakeServing) -> None:
    server.hold = threading.Event()

    async def draw() -> None:
        async with AsyncClient(Client(endpoint, timeout_seconds=0.5)) as client:
            await client.generate("x")

    with pytest.raises(RequestTimeoutError, match=r"within 0\.\d+ s"):
        asyncio.run(asyncio.wait_for(draw(), 10))
    server.hold.set()


def test_an_oversized_response_is_not_read_to_the_end(
    server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.transports.http_connections_async.MAX_ANSWER_BYTES", 50)

    async def draw() -> None:
        async with AsyncClient(Client(server.endpoint, retry=False)) as client:
            await client.generate("x")

    with pytest.raises(UnexpectedAnswerError, match="more than 50 bytes"):
        asyncio.run(draw())


def test_a_full_server_is_asked_again_for_the_same_picture(
    endpoint: str, server: FakeServing
) -> None:
    replies = iter([error(503, QUEUE_FULL), error(503, QUEUE_FULL), None])
    server.before_predict = lambda: setattr(server, "predict_reply", next(replies))

    async def draw() -> int:
        async with AsyncClient(Client(endpoint)) as client:
            return (await client.generate("x", seed=7)).seed

    assert asyncio.run(draw()) == 7


def test_several_endpoints_share_the_requests(server: FakeServing) -> None:
    rpc = FakeRpc(server)

    async def draw() -> list[str]:
        async with AsyncClient(Client([server.endpoint, rpc.endpoint])) as client:
            assert (await client.status()).state is ModelState.READY
            return [(await client.generate("x", seed=s)).endpoint for s in range(4)]

    drawn_by = asyncio.run(draw())
    rpc.close()
    assert drawn_by == [server.endpoint, rpc.endpoint] * 2


def test_a_closed_client_says_so(endpoint: str) -> None:
    async def draw() -> None:
        client = AsyncClient(Client(endpoint, retry=False))
        await client.generate("x")
        await client.close()
        await client.generate("x")

    with pytest.raises(UnreachableError, match="is closed"):
        asyncio.run(draw())


def test_a_proxy_in_the_environment_is_not_asked_for_the_loopback(
    endpoint: str, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("no_proxy", "")

    async def draw() -> int:
        async with AsyncClient(Client(endpoint)) as client:
            return (await client.generate("x", seed=1)).seed

    assert asyncio.run(draw()) == 1
