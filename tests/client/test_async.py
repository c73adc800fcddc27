"""The client for coroutines."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from client import AsyncClient, Client, ModelState, QueueFullError
from tests.client.fake_serving import QUEUE_FULL, FakeServing, error


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


def test_errors_are_the_clients_own(server: FakeServing) -> None:
    server.predict_reply = error(503, QUEUE_FULL)

    async def draw() -> None:
        async with AsyncClient(Client(server.endpoint)) as client:
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
