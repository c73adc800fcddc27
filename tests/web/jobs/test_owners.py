"""What one owner may have in the queue, and what becomes of it when the owner is gone."""

from __future__ import annotations

import asyncio

import pytest

from tests.web.jobs.fake_server import FakeServer, asked, ended, learned, queue_before
from tests.web.jobs.virtual_time import run
from web.faults import fault_of
from web.jobs.job import JobState
from web.jobs.refusals import Problem, Reason, RefusedError


def refusal(call: object) -> Problem:
    with pytest.raises(RefusedError) as refused:
        assert callable(call)
        call()
    return refused.value.problem


def test_one_owner_has_no_more_jobs_at_a_time_than_allowed_and_the_others_have_theirs() -> None:
    async def main() -> None:
        async with queue_before(FakeServer(), size=8, size_by_owner=2) as queue:
            await learned(queue)
            first, second = (queue.submit(asked(owner="alice", steps=20)) for _ in range(2))
            problem = refusal(lambda: queue.submit(asked(owner="alice")))
            assert problem.reason is Reason.TOO_MANY
            assert problem.retry_after_seconds in (20, 21)  # until the first is done
            assert fault_of(problem).status == 429
            for owner in ("bob", "carol"):
                queue.submit(asked(owner=owner))
            await ended(first)
            queue.submit(asked(owner="alice"))
            queue.cancel(second)
            queue.submit(asked(owner="alice"))
            assert refusal(lambda: queue.submit(asked(owner="alice"))).reason is Reason.TOO_MANY

    run(main())


@pytest.mark.parametrize(("steps", "seconds"), [(1, 1), (500, 60)])
def test_too_many_jobs_may_be_tried_again_in_1_to_60_seconds(steps: int, seconds: int) -> None:
    async def main() -> None:
        fake = FakeServer(seconds_per_step=0.2)
        async with queue_before(fake, size_by_owner=1, deadline_seconds=10_000) as queue:
            await learned(queue)
            queue.submit(asked(steps=steps))
            problem = refusal(lambda: queue.submit(asked()))
            assert problem.retry_after_seconds == seconds
            assert "1 job of yours waits or is being drawn" in problem.message

    run(main())


def test_the_same_id_again_is_no_job_more() -> None:
    async def main() -> None:
        async with queue_before(FakeServer(), size_by_owner=1) as queue:
            job = queue.submit(asked(job_id="one"))
            assert queue.submit(asked(job_id="one")) is job

    run(main())


def test_without_a_limit_one_owner_may_fill_the_queue() -> None:
    async def main() -> None:
        async with queue_before(FakeServer(), size=8) as queue:
            for _ in range(9):
                queue.submit(asked(steps=20))
                await asyncio.sleep(0.01)
            assert refusal(lambda: queue.submit(asked())).reason is Reason.FULL

    run(main())


def test_a_forgotten_owners_jobs_end_and_its_pictures_are_gone() -> None:
    async def main() -> None:
        async with queue_before(FakeServer()) as queue:
            done = queue.submit(asked(owner="alice", job_id="done"))
            await ended(done)
            drawn, waits = (queue.submit(asked(owner="alice", steps=50)) for _ in range(2))
            others = queue.submit(asked(owner="bob"))
            while drawn.step == 0:
                assert await drawn.wait_for_change(drawn.version, 30)
            queue.forget("alice")
            assert (drawn.state, waits.state) == (JobState.CANCELLED, JobState.CANCELLED)
            assert queue.jobs("alice") == []
            for job in (done, drawn, waits):
                assert queue.find("alice", job.id) is None
                assert not queue.is_gone("alice", job.id)
            await ended(others)
            assert others.state is JobState.DONE

    run(main())
