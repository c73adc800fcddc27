"""Deadlines: nobody waits for a picture that comes too late, and nobody waits longer."""

from __future__ import annotations

import asyncio

import pytest

from tests.web.jobs.fake_server import FakeServer, asked, ended, learned, queue_before
from tests.web.jobs.virtual_time import now, run
from web.jobs.estimates import FRESH_SECONDS
from web.jobs.job import JobState
from web.jobs.refusals import Problem, Reason, RefusedError


def test_a_job_that_cannot_be_ready_in_time_is_refused_when_it_is_submitted() -> None:
    async def main() -> None:
        async with queue_before(FakeServer()) as queue:
            await learned(queue)
            queue.submit(asked(steps=40))
            with pytest.raises(RefusedError) as refusal:
                queue.submit(asked(steps=10, deadline_seconds=30))
            problem = refusal.value.problem
            assert problem.reason is Reason.TOO_LATE
            assert problem.retry_after_seconds in (20, 21)
            queue.submit(asked(steps=10, deadline_seconds=60))

    run(main())


def test_a_job_that_alone_takes_longer_than_its_deadline_is_no_use_to_repeat() -> None:
    async def main() -> None:
        async with queue_before(FakeServer(), deadline_seconds=30) as queue:
            await learned(queue)
            with pytest.raises(RefusedError) as refusal:
                queue.submit(asked(steps=40))
            problem = refusal.value.problem
            assert problem.reason is Reason.TOO_COSTLY
            assert problem.retry_after_seconds is None

    run(main())


def test_a_deadline_cannot_be_later_than_the_services_own() -> None:
    async def main() -> None:
        async with queue_before(FakeServer(), deadline_seconds=30) as queue:
            job = queue.submit(asked(steps=50, deadline_seconds=1000))
            await ended(job)
            assert now() - job.submitted == pytest.approx(30, abs=0.1)

    run(main())


def test_a_job_that_still_waits_at_its_deadline_is_refused() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            queue.submit(asked(steps=50))
            job = queue.submit(asked(deadline_seconds=20))  # no estimate yet: it is taken
            await ended(job)
            assert job.state is JobState.REFUSED
            _is_too_late(job.problem)
            assert now() - job.submitted == pytest.approx(20, abs=0.1)

    run(main())


def test_a_job_whose_turn_comes_too_late_is_refused_and_not_begun() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            await learned(queue)
            first = queue.submit(asked(steps=20))
            job = queue.submit(asked(steps=20, deadline_seconds=45))
            fake.behaviour.seconds_per_step = 1.5
            await ended(first)
            await ended(job)
            assert job.state is JobState.REFUSED
            _is_too_late(job.problem)
            assert job.started is None
            assert now() < job.deadline

    run(main())


def test_a_job_drawn_at_its_deadline_ends_there_and_its_server_is_free_within_a_chunk() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            job = queue.submit(asked(steps=50, deadline_seconds=20.5))
            await ended(job)
            assert job.state is JobState.FAILED
            _is_too_late(job.problem)
            assert now() == pytest.approx(job.deadline, abs=0.01)
            after = queue.submit(asked())
            await ended(after)
            assert after.state is JobState.DONE
            assert (after.started or 0.0) - job.deadline <= 1.0
            assert fake.most_in_flight == 1

    run(main())


def test_an_older_model_is_stopped_at_the_deadline_by_the_time_limit_of_its_call() -> None:
    async def main() -> None:
        fake = FakeServer(in_chunks=False)
        async with queue_before(fake) as queue:
            job = queue.submit(asked(steps=50, deadline_seconds=20))
            await ended(job)
            assert job.state is JobState.FAILED
            _is_too_late(job.problem)
            await asyncio.sleep(0.1)
            assert fake.in_flight == 0

    run(main())


def test_an_older_model_of_unknown_speed_may_take_until_the_deadline() -> None:
    async def main() -> None:
        async with queue_before(FakeServer(in_chunks=False, seconds_per_step=11.0)) as queue:
            job = queue.submit(asked(steps=50))
            await ended(job)
            assert job.state is JobState.DONE

    run(main())


def test_an_estimate_from_long_ago_refuses_nobody() -> None:
    """A wrong one that refuses all would never be put right."""

    async def main() -> None:
        fake = FakeServer(seconds_per_step=20.0)
        async with queue_before(fake, deadline_seconds=300) as queue:
            await learned(queue)
            fake.behaviour.seconds_per_step = 0.1
            with pytest.raises(RefusedError):
                queue.submit(asked(steps=40))
            await asyncio.sleep(FRESH_SECONDS + 1)
            job = queue.submit(asked(steps=40))
            await ended(job)
            assert job.state is JobState.DONE

    run(main())


@pytest.mark.parametrize("in_chunks", [True, False])
def test_ten_times_overload_ends_in_pictures_or_refusals_inside_the_deadline(
    in_chunks: bool,
) -> None:
    """Jobs of 10 s come every second, most with less time than the queue is long."""

    async def main() -> None:
        fake = FakeServer(in_chunks=in_chunks)
        async with queue_before(fake, size=8, deadline_seconds=60) as queue:
            jobs, refusals = [], []
            for _ in range(300):
                try:
                    jobs.append(queue.submit(asked(steps=10)))
                except RefusedError as refusal:
                    refusals.append(refusal.problem)
                await asyncio.sleep(1)
            await ended(*jobs)
            drawn = [job for job in jobs if job.state is JobState.DONE]
            assert len(drawn) >= 28  # the model server is never idle
            for job in jobs:
                assert (job.ended or 0.0) <= job.deadline + 0.01
            for problem in refusals + [job.problem for job in jobs if job not in drawn]:
                assert problem is not None
                assert problem.reason in (Reason.FULL, Reason.TOO_LATE)
                assert 1 <= (problem.retry_after_seconds or 0) <= 60
            assert fake.most_in_flight == 1

    run(main())


def _is_too_late(problem: Problem | None) -> None:
    assert problem is not None
    assert problem.reason is Reason.TOO_LATE
    assert "model server" not in problem.message
    assert 1 <= (problem.retry_after_seconds or 0) <= 60
