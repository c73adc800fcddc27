"""Model servers that go away, come back, hang, or are full."""

from __future__ import annotations

import asyncio

import pytest

from prediction.errors import InputRefusedError, QueueFullError, UnexpectedAnswerError
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
from web.jobs.patience import Patience
from web.jobs.refusals import Reason, RefusedError


async def _until_step(job: Job, step: int) -> None:
    while job.step < step:
        assert await job.wait_for_change(job.version, 1000)


def test_a_job_goes_on_from_its_last_step_when_its_model_server_comes_back() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            job = queue.submit(asked(steps=20, count=2))
            await _until_step(job, 10)
            fake.crash()
            await asyncio.sleep(30)
            assert (job.state, job.step) == (JobState.DRAWING, 10)
            fake.start_again()
            await ended(job)
            assert job.state is JobState.DONE
            assert pngs(job) == right_pngs(job)
            assert sum(fake.chunks) == 41  # one step was lost
            assert (fake.calls["begin"], fake.calls["finish"]) == (2, 2)

    run(main())


def test_with_another_model_the_picture_begins_again_with_the_same_seed() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            job = queue.submit(asked(steps=20))
            await _until_step(job, 10)
            fake.crash()
            fake.start_again(fingerprint="stub-2")
            await _until_step(job, 1)
            await ended(job)
            assert pngs(job) == right_pngs(job, "stub-2")
            assert fake.calls["begin"] == 2

    run(main())


def test_a_model_that_changed_within_moments_is_noticed_by_its_answer() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            await learned(queue)
            fake.behaviour.fingerprint = "stub-2"
            job = queue.submit(asked())
            await ended(job)
            assert pngs(job) == right_pngs(job, "stub-2")
            assert queue._models.fingerprint == "stub-2"

    run(main())


def test_a_model_that_no_longer_takes_the_request_is_said() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            queue.submit(asked(steps=20))
            job = queue.submit(asked(steps=40))
            await asyncio.sleep(3)
            fake.crash()
            fake.start_again(fingerprint="stub-2", max_steps=30)
            await ended(job)
            assert job.state is JobState.FAILED
            assert job.problem is not None and job.problem.reason is Reason.INVALID
            assert "from 1 to 30" in job.problem.message

    run(main())


@pytest.mark.parametrize("in_chunks", [True, False])
def test_a_job_survives_two_losses_and_no_third(in_chunks: bool) -> None:
    async def main(crashes: int) -> Job:
        fake = FakeServer(in_chunks=in_chunks)
        async with queue_before(fake) as queue:
            job = queue.submit(asked(steps=20))
            for _ in range(crashes):
                await asyncio.sleep(5)
                fake.crash()
                await asyncio.sleep(1)
                fake.start_again()
            await ended(job)
            after = queue.submit(asked())
            await ended(after)
            assert after.state is JobState.DONE
        return job

    job = run(main(2))
    assert job.state is JobState.DONE
    assert pngs(job) == right_pngs(job)
    job = run(main(3))
    assert job.state is JobState.FAILED
    assert job.problem is not None and job.problem.reason is Reason.LOST
    assert "went away 3 times" in job.problem.message
    assert job.problem.retry_after_seconds


def test_when_no_model_server_comes_back_all_jobs_end_and_others_are_refused_at_once() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake, patience=Patience(away_seconds=90)) as queue:
            drawn, waiting = queue.submit(asked(steps=20)), queue.submit(asked())
            await asyncio.sleep(5)
            fake.crash()
            lost = now()
            await ended(drawn, waiting)
            assert now() - lost == pytest.approx(90, abs=0.1)
            assert (drawn.state, waiting.state) == (JobState.FAILED, JobState.REFUSED)
            assert drawn.problem is not None and drawn.problem.reason is Reason.LOST
            assert waiting.problem is not None and waiting.problem.reason is Reason.UNREACHABLE
            with pytest.raises(RefusedError) as refusal:
                queue.submit(asked())
            assert refusal.value.problem.reason is Reason.UNREACHABLE
            assert refusal.value.problem.retry_after_seconds
            fake.start_again()
            await asyncio.sleep(6)
            job = queue.submit(asked())
            await ended(job)
            assert job.state is JobState.DONE

    run(main())


def test_without_a_model_server_jobs_end_at_their_deadline_and_hear_why() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            lost = queue.submit(asked(steps=20, deadline_seconds=40))
            waiting = queue.submit(asked(deadline_seconds=41))
            await asyncio.sleep(5)
            fake.crash()
            for job in (lost, waiting):
                await ended(job)
                assert now() == pytest.approx(job.deadline)
                assert job.problem is not None and job.problem.reason is Reason.TOO_LATE
                assert "the model server does not answer" in job.problem.message
                assert job.problem.retry_after_seconds

    run(main())


def test_a_drained_queue_waits_for_a_lost_job() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            job = queue.submit(asked(steps=20))
            await _until_step(job, 10)
            fake.crash()
            await asyncio.sleep(1)
            queue.drain()
            fake.start_again()
            await queue.wait_until_idle()
            assert job.state is JobState.DONE

    run(main())


def test_a_lost_job_can_be_cancelled() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            job = queue.submit(asked(steps=20, keeps_unfinished=True))
            await asyncio.sleep(5)
            fake.crash()
            await asyncio.sleep(5)
            queue.cancel(job)
            assert job.state is JobState.CANCELLED

    run(main())


def test_no_job_is_taken_before_a_model_was_seen() -> None:
    """Its limits and defaults are not known."""

    async def main() -> None:
        fake = FakeServer(is_loading=True)
        async with queue_before(fake, is_ready=False) as queue:
            await asyncio.sleep(1)
            with pytest.raises(RefusedError) as refusal:
                queue.submit(asked())
            assert refusal.value.problem.reason is Reason.LOADING
            fake.crash()
            await asyncio.sleep(6)
            with pytest.raises(RefusedError) as refusal:
                queue.submit(asked())
            assert refusal.value.problem.reason is Reason.UNREACHABLE
            fake.start_again(is_loading=False)
            await asyncio.sleep(6)
            job = queue.submit(asked())
            await ended(job)
            assert job.state is JobState.DONE

    run(main())


def test_a_server_that_loads_gets_no_job_until_it_is_ready() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            fake.crash()
            await asyncio.sleep(10)
            fake.start_again(is_loading=True)
            job = queue.submit(asked())
            await asyncio.sleep(20)
            assert job.state is JobState.QUEUED
            assert fake.calls["begin"] == 0
            fake.behaviour.is_loading = False
            await asyncio.sleep(2.1)
            assert job.state is JobState.DRAWING

    run(main())


def test_a_server_is_looked_for_often_while_there_is_something_to_draw_and_rarely_else() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            job = queue.submit(asked(steps=20))
            await asyncio.sleep(5)
            fake.crash()
            before = fake.calls["status"]
            await asyncio.sleep(20)
            assert 10 <= fake.calls["status"] - before <= 15
            queue.cancel(job)
            before = fake.calls["status"]
            await asyncio.sleep(100)
            assert 15 <= fake.calls["status"] - before <= 25

    run(main())


@pytest.mark.parametrize("in_chunks", [True, False])
def test_a_server_that_hangs_is_given_up_with_its_job_and_gets_others_once_it_answers(
    in_chunks: bool,
) -> None:
    async def main() -> None:
        fake = FakeServer(in_chunks=in_chunks)
        async with queue_before(fake) as queue:
            await learned(queue)
            await learned(queue)
            job, after = queue.submit(asked(steps=2)), queue.submit(asked())
            fake.hangs = True
            await ended(job)
            assert now() - (job.started or 0.0) == pytest.approx(30, abs=5)
            assert job.state is JobState.FAILED
            assert job.problem is not None and job.problem.reason is Reason.LOST
            assert "did not answer in time" in job.problem.message
            fake.hangs = False
            await ended(after)
            assert after.state is JobState.DONE
            # It may have gone on for one more step, beside which no other job may run.
            assert (after.started or 0.0) - (job.ended or 0.0) >= 1.0
            assert fake.most_in_flight == 1

    run(main())


def test_a_server_that_is_full_of_others_requests_is_asked_again() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            fake.fail_next = [QueueFullError("full")] * 5
            job = queue.submit(asked())
            await ended(job)
            assert pngs(job) == right_pngs(job)
            assert now() == pytest.approx(5 + 4, abs=2)

    run(main())


def test_a_server_that_fails_to_draw_fails_the_job_and_none_after_it() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            fake.fail_next = [UnexpectedAnswerError("x answered with INTERNAL", status="INTERNAL")]
            job, after = queue.submit(asked()), queue.submit(asked())
            await ended(job, after)
            assert (job.state, after.state) == (JobState.FAILED, JobState.DONE)
            assert job.problem is not None and job.problem.reason is Reason.FAILED
            assert "(INTERNAL)" in job.problem.message

    run(main())


def test_a_request_that_the_model_refuses_is_the_callers_fault() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            fake.fail_next = [
                InputRefusedError("fake-0 refused the request: no", status="INVALID_ARGUMENT")
            ]
            job = queue.submit(asked())
            await ended(job)
            assert job.problem is not None and job.problem.reason is Reason.INVALID
            assert job.problem.message == "the model did not take the request: no"

    run(main())


def test_an_older_model_that_took_the_place_of_a_newer_one_draws_whole() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            fake.behaviour.in_chunks = False
            fake.fail_next = [InputRefusedError("no signature begin", status="FAILED_PRECONDITION")]
            job = queue.submit(asked())
            await ended(job)
            assert pngs(job) == right_pngs(job)
            assert fake.calls["predict"] == 1

    run(main())


def test_a_fault_of_the_service_itself_ends_the_job(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            fake.fail_next = [RuntimeError("a bug")]  # type: ignore[list-item]
            job, after = queue.submit(asked()), queue.submit(asked())
            await ended(job, after)
            assert (job.state, after.state) == (JobState.FAILED, JobState.DONE)
            assert job.problem is not None and "a bug" not in job.problem.message

    run(main())
    assert "a bug" in caplog.text


def test_messages_are_one_line_say_what_to_do_and_name_no_address() -> None:
    async def main() -> list[Job]:
        fake = FakeServer()
        async with queue_before(fake, patience=Patience(losses=0)) as queue:
            await learned(queue)
            jobs = [queue.submit(asked(steps=20)) for _ in range(3)]
            await asyncio.sleep(5)
            fake.crash()
            await ended(*jobs)
            return jobs

    for job in run(main()):
        assert job.problem is not None
        assert "\n" not in job.problem.message
        assert "try again" in job.problem.message
        assert "fake-0" not in job.problem.message
        assert "make" not in job.problem.message
