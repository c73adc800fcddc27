"""The web service's job API for coroutines: as for threads, and a cancelled task ends its job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from client import (
    AsyncClient,
    Client,
    ModelState,
    ModelStatus,
    Protocol,
    QueueFullError,
    UnreachableError,
)
from client.transports import web_jobs
from client.transports.progress import PictureProgress
from tests.client.fake_serving import FakeServing
from tests.client.fake_web import FakeWeb, problem

T = TypeVar("T")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def with_client(
    web: FakeWeb, use: Callable[[AsyncClient], Awaitable[T]], *, retry: bool = False
) -> T:
    async def main() -> T:
        async with AsyncClient(Client(web.endpoint, protocol=Protocol.WEB, retry=retry)) as client:
            return await use(client)

    return asyncio.run(main())


def test_coroutines_get_the_same_pictures_as_threads(web: FakeWeb) -> None:
    with Client(web.endpoint, protocol=Protocol.WEB) as client:
        expected = [client.generate("a star", seed=seed) for seed in range(3)]

    async def draw(client: AsyncClient) -> list[object]:
        pictures = await asyncio.gather(*(client.generate("a star", seed=s) for s in range(3)))
        return [replace(picture, seconds=0) for picture in pictures]

    assert with_client(web, draw) == [replace(picture, seconds=0) for picture in expected]


def test_each_task_is_told_of_its_own_picture(web: FakeWeb) -> None:
    web.allowed_steps = 1
    told: dict[int, list[PictureProgress]] = {5: [], 9: []}

    async def draw(client: AsyncClient) -> None:
        def watching(steps: int) -> Callable[[PictureProgress], None]:
            def watch(progress: PictureProgress) -> None:
                told[steps].append(progress)
                if all(told.values()):
                    web.change(allowed_steps=9)

            return watch

        await client.describe()
        await asyncio.gather(
            *(client.generate("x", num_steps=steps, watch=watching(steps)) for steps in told)
        )

    with_client(web, draw)
    assert {steps: {one.steps for one in progress} for steps, progress in told.items()} == {
        5: {5},
        9: {9},
    }


def test_a_cancelled_task_cancels_its_job(web: FakeWeb) -> None:
    web.allowed_steps = 1

    async def draw(client: AsyncClient) -> None:
        task = asyncio.create_task(client.generate("x"))
        await asyncio.to_thread(web.wait_until, "GET /api/v1/jobs/")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert web.only_job.state == "cancelled"

    with_client(web, draw)


def test_a_time_limit_around_a_picture_cancels_its_job(web: FakeWeb) -> None:
    web.allowed_steps = 1

    async def draw(client: AsyncClient) -> None:
        await client.describe()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.generate("x")

    with_client(web, draw)
    assert web.only_job.state == "cancelled"


def test_a_lost_connection_loses_nothing(web: FakeWeb, server: FakeServing) -> None:
    async def draw(client: AsyncClient) -> None:
        request = (await client.describe()) and client.client.prepare("x", seed=1)
        assert request
        web.hang_ups = ["POST /api/v1/jobs"] * (web_jobs.MAX_LOST + 1)
        with pytest.raises(UnreachableError):
            await client.send(request)
        await client.send(request)

    with_client(web, draw)
    assert len(web.jobs) == len(server.rows) == 1


def test_a_refusal_is_the_same_error(web: FakeWeb) -> None:
    web.refusal = (503, problem("queue_full", retryAfterSeconds=3))
    with pytest.raises(QueueFullError) as raised:
        with_client(web, lambda client: client.generate("x"))
    assert raised.value.retry_after_seconds == 3


def test_the_status_is_the_same(web: FakeWeb) -> None:
    assert with_client(web, lambda client: client.status()) == ModelStatus(ModelState.READY, "")


def test_an_address_is_asked_which_api_it_speaks(web: FakeWeb, server: FakeServing) -> None:
    async def draw() -> None:
        async with AsyncClient(Client([web.endpoint, server.endpoint])) as client:
            pictures = [await client.generate("x", seed=seed) for seed in range(2)]
        assert {picture.endpoint for picture in pictures} == {web.endpoint, server.endpoint}

    asyncio.run(draw())
    assert len(web.jobs) == 1
