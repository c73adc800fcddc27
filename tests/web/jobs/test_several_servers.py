"""Several model servers: each draws one job, and none waits while another is free."""

from __future__ import annotations

import asyncio

import pytest

from tests.web.jobs.fake_server import (
    FakeServer,
    asked,
    ended,
    learned,
    pngs,
    queue_before,
    right_pngs,
)
from tests.web.jobs.virtual_time import now, run
from web.jobs.job import JobState


def test_each_server_draws_one_job_at_a_time() -> None:
    async def main() -> None:
        fakes = [FakeServer(), FakeServer(), FakeServer()]
        async with queue_before(*fakes) as queue:
            await asyncio.sleep(1)
            jobs = [queue.submit(asked(steps=10, seed=n)) for n in range(9)]
            start = now()
            assert [queue.place(job) for job in jobs] == [0, 0, 0, 1, 2, 3, 4, 5, 6]
            await ended(*jobs)
            assert now() - start == pytest.approx(30, abs=1)
            assert [pngs(job) for job in jobs] == [right_pngs(job) for job in jobs]
            assert [fake.most_in_flight for fake in fakes] == [1, 1, 1]
            assert [fake.calls["begin"] for fake in fakes] == [3, 3, 3]

    run(main())


def test_the_server_that_was_used_longest_ago_is_next() -> None:
    async def main() -> None:
        fakes = [FakeServer(), FakeServer()]
        async with queue_before(*fakes) as queue:
            await asyncio.sleep(1)
            for _ in range(4):
                await ended(queue.submit(asked()))
            assert [fake.calls["begin"] for fake in fakes] == [2, 2]

    run(main())


def test_estimates_count_all_servers() -> None:
    async def main() -> None:
        async with queue_before(FakeServer(), FakeServer()) as queue:
            await asyncio.sleep(1)
            await learned(queue)
            jobs = [queue.submit(asked(steps=10)) for _ in range(4)]
            left = [queue.seconds_left(job) for job in jobs]
            assert left == pytest.approx([10, 10, 20, 20], abs=1)

    run(main())


def test_a_lost_job_goes_on_at_another_server_of_the_same_model() -> None:
    async def main() -> None:
        broken, sound = FakeServer(), FakeServer()
        async with queue_before(broken, sound) as queue:
            await asyncio.sleep(1)
            job = queue.submit(asked(steps=20))
            await asyncio.sleep(10.5)
            broken.crash()
            await ended(job)
            assert pngs(job) == right_pngs(job)
            assert job.pictures[0].answer.endpoint == "fake-1"
            assert sound.calls["begin"] == 0
            assert sum(sound.chunks) < 15

    run(main())


def test_a_lost_job_goes_before_those_that_wait() -> None:
    async def main() -> None:
        broken, sound = FakeServer(), FakeServer()
        async with queue_before(broken, sound) as queue:
            await asyncio.sleep(1)
            first, second, third = (queue.submit(asked(steps=20)) for _ in range(3))
            await asyncio.sleep(10.5)
            broken.crash()
            assert queue.place(third) == 1
            await ended(first, second, third)
            assert first.ended is not None and third.started is not None
            assert first.ended <= third.started

    run(main())


def test_one_server_is_enough_to_begin_and_others_join() -> None:
    async def main() -> None:
        early, late = FakeServer(), FakeServer()
        late.crash()
        async with queue_before(early, late) as queue:
            jobs = [queue.submit(asked(steps=20)) for _ in range(3)]
            await asyncio.sleep(10)
            assert [job.state for job in jobs].count(JobState.DRAWING) == 1
            late.start_again()
            await asyncio.sleep(6)
            assert [job.state for job in jobs].count(JobState.DRAWING) == 2

    run(main())
