"""The queue: order, room, ids, owners, places, estimates, cancels, the end."""

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
from web.jobs.job import Job, JobState
from web.jobs.refusals import Reason, RefusedError


def test_jobs_are_drawn_in_order_and_one_at_a_time() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            jobs = [queue.submit(asked(str(n), seed=n, count=2)) for n in range(5)]
            await ended(*jobs)
            assert [job.state for job in jobs] == [JobState.DONE] * 5
            assert [pngs(job) for job in jobs] == [right_pngs(job) for job in jobs]
            ends = [job.ended or 0.0 for job in jobs]
            assert ends == sorted(ends)
            assert fake.most_in_flight == 1

    run(main())


def test_a_full_queue_refuses_with_the_time_until_there_is_room() -> None:
    async def main() -> None:
        async with queue_before(FakeServer(), size=2) as queue:
            await learned(queue)
            jobs = [queue.submit(asked(steps=20)) for _ in range(3)]
            assert [queue.place(job) for job in jobs] == [0, 1, 2]
            with pytest.raises(RefusedError) as refusal:
                queue.submit(asked())
            problem = refusal.value.problem
            assert problem.reason is Reason.FULL
            assert problem.retry_after_seconds in (20, 21)
            await ended(jobs[0])
            assert queue.submit(asked()).state is JobState.QUEUED

    run(main())


@pytest.mark.parametrize(("steps", "seconds"), [(1, 1), (500, 60)])
def test_retry_after_is_from_1_to_60_seconds(steps: int, seconds: int) -> None:
    async def main() -> None:
        fake = FakeServer(seconds_per_step=0.2)
        async with queue_before(fake, size=1, deadline_seconds=10_000) as queue:
            await learned(queue)
            for _ in range(2):
                queue.submit(asked(steps=min(steps, 50), count=max(steps // 50, 1)))
            fake.behaviour.seconds_per_step = 2.0
            with pytest.raises(RefusedError) as refusal:
                queue.submit(asked())
            assert refusal.value.problem.retry_after_seconds == seconds

    run(main())


def test_an_ended_job_keeps_its_id_until_there_is_room_for_the_one_that_takes_it_over() -> None:
    async def main() -> None:
        async with queue_before(FakeServer(), size=1) as queue:
            first = queue.submit(asked(job_id="one"))
            await ended(first)
            others = [queue.submit(asked()) for _ in range(2)]
            with pytest.raises(RefusedError):
                queue.submit(asked("another prompt", job_id="one"), instead_of=first)
            assert queue.find("", "one") is first
            await ended(*others)
            second = queue.submit(asked("another prompt", job_id="one"), instead_of=first)
            assert queue.find("", "one") is second
            assert first not in queue.jobs("")

    run(main())


def test_the_same_id_is_the_same_job_while_it_is_known() -> None:
    async def main() -> None:
        async with queue_before(FakeServer(), keep_results_seconds=60) as queue:
            first = queue.submit(asked(job_id="one"))
            assert queue.submit(asked("another prompt", job_id="one")) is first
            await ended(first)
            assert queue.submit(asked(job_id="one")) is first
            queue.drain()
            assert queue.submit(asked(job_id="one")) is first

    run(main())


def test_jobs_without_an_id_get_ids_that_nobody_guesses() -> None:
    async def main() -> None:
        async with queue_before(FakeServer()) as queue:
            jobs = [queue.submit(asked()) for _ in range(3)]
            assert len({job.id for job in jobs}) == 3
            assert min(len(job.id) for job in jobs) == 32

    run(main())


def test_nobody_finds_another_owners_job() -> None:
    async def main() -> None:
        async with queue_before(FakeServer()) as queue:
            mine = queue.submit(asked(owner="me", job_id="one"))
            yours = queue.submit(asked(owner="you", job_id="one"))
            assert mine is not yours
            for _ in ("running", "ended"):
                assert queue.find("me", "one") is mine
                assert queue.find("you", "one") is yours
                assert queue.find("", "one") is None
                assert queue.jobs("me") == [mine]
                assert queue.jobs("") == []
                await ended(mine, yours)

    run(main())


def test_jobs_are_listed_newest_first() -> None:
    async def main() -> None:
        async with queue_before(FakeServer()) as queue:
            first = queue.submit(asked())
            await ended(first)
            second = queue.submit(asked())
            assert queue.jobs("") == [second, first]

    run(main())


def test_results_expire_and_their_ids_are_remembered() -> None:
    async def main() -> None:
        async with queue_before(FakeServer(), keep_results_seconds=60) as queue:
            job = queue.submit(asked(owner="me", job_id="one"))
            await ended(job)
            assert not queue.is_gone("me", "one")
            end = now()
            while queue.find("me", "one") is not None:
                await _a_moment()
            assert now() - end == pytest.approx(60, abs=1)
            assert queue.is_gone("me", "one")
            assert not queue.is_gone("you", "one")
            assert not queue.is_gone("me", "two")
            again = queue.submit(asked(owner="me", job_id="one"))
            assert again is not job
            await ended(again)
            assert not queue.is_gone("me", "one")

    run(main())


def test_places_and_estimates_count_down() -> None:
    async def main() -> None:
        fake = FakeServer(seconds_per_picture=2.0)
        async with queue_before(fake) as queue:
            first = queue.submit(asked(steps=10))
            assert queue.seconds_left(first) is None  # nothing is known of this model
            await ended(first)
            await learned(queue)
            jobs = [queue.submit(asked(steps=10)) for _ in range(3)]
            assert [queue.place(job) for job in jobs] == [0, 1, 2]
            start = now()
            for _ in range(11):
                left = [queue.seconds_left(job) or 0.0 for job in jobs]
                gone = now() - start
                assert left == pytest.approx([12 - gone, 24 - gone, 36 - gone], abs=0.5)
                await _a_moment(1.0)
            await ended(*jobs)
            assert [queue.place(job) for job in jobs] == [0, 0, 0]
            assert queue.seconds_left(jobs[0]) == 0

    run(main())


def test_a_waiting_job_is_told_when_its_place_changes() -> None:
    async def main() -> None:
        async with queue_before(FakeServer()) as queue:
            first, second, third = (queue.submit(asked()) for _ in range(3))
            version = third.version
            queue.cancel(second)
            assert await third.wait_for_change(version, 0)
            assert queue.place(third) == 1
            version = third.version
            await ended(first)
            assert await third.wait_for_change(version, 0.1)

    run(main())


def test_a_cancelled_job_leaves_the_queue_at_once() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            first, second, third = (queue.submit(asked(str(n))) for n in range(3))
            queue.cancel(second)
            queue.cancel(second)
            assert second.state is JobState.CANCELLED
            assert second.problem is not None and second.problem.reason is Reason.CANCELLED
            await ended(first, third)
            assert second.pictures == []
            assert fake.calls["begin"] == 2

    run(main())


def test_a_job_cancelled_while_it_is_drawn_ends_at_once_and_holds_its_server_for_a_chunk() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            first, second = queue.submit(asked(steps=50)), queue.submit(asked())
            await _a_moment(10.5)
            queue.cancel(first)
            assert first.state is JobState.CANCELLED
            cancelled = now()
            await _until_drawing(second)
            assert 0 < now() - cancelled <= 1.0
            await ended(second)
            assert pngs(second) == right_pngs(second)
            assert fake.most_in_flight == 1
            assert len(fake.chunks) < 20

    run(main())


def test_cancelling_an_ended_job_changes_nothing() -> None:
    async def main() -> None:
        async with queue_before(FakeServer()) as queue:
            job = queue.submit(asked())
            await ended(job)
            version = job.version
            queue.cancel(job)
            queue.skip(job)
            assert (job.state, job.version) == (JobState.DONE, version)

    run(main())


def test_a_drained_queue_refuses_the_waiting_ones_and_finishes_the_one_that_is_drawn() -> None:
    async def main() -> None:
        async with queue_before(FakeServer()) as queue:
            drawn, *waiting = (queue.submit(asked()) for _ in range(4))
            queue.drain()
            assert [job.state for job in waiting] == [JobState.REFUSED] * 3
            problems = [job.problem for job in waiting]
            assert all(
                p and p.reason is Reason.DRAINING and p.retry_after_seconds for p in problems
            )
            with pytest.raises(RefusedError) as refusal:
                queue.submit(asked())
            assert refusal.value.problem.reason is Reason.DRAINING
            await queue.wait_until_idle()
            assert drawn.state is JobState.DONE
            assert pngs(drawn) == right_pngs(drawn)

    run(main())


def test_a_drained_queue_does_not_wait_for_a_picture_that_nobody_wants() -> None:
    async def main() -> None:
        async with queue_before(FakeServer(in_chunks=False)) as queue:
            job = queue.submit(asked(steps=50))
            await _a_moment()
            queue.cancel(job)
            queue.drain()
            before = now()
            await queue.wait_until_idle()
            assert now() == before

    run(main())


def test_a_stopped_queue_ends_every_job() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            fake.hangs = True
            jobs = [queue.submit(asked()) for _ in range(3)]
            await _a_moment()
            await queue.stop()
            states = [job.state for job in jobs]
            assert states == [JobState.FAILED, JobState.REFUSED, JobState.REFUSED]

    run(main())


async def _a_moment(seconds: float = 0.1) -> None:
    await asyncio.sleep(seconds)


async def _until_drawing(job: Job) -> None:
    while job.state is JobState.QUEUED:
        await job.wait_for_change(job.version, 60)
