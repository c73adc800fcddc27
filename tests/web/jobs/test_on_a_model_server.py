"""The queue over gRPC, before a stub of TF Serving that notices neither hang-ups nor cancels."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tests.web.jobs.fake_server import asked, ended, pngs
from tests.web.jobs.on_stub import queue_on, stub_process, until, until_step
from tests.web.stub_model_server import Behaviour, StubModelServer, picture_of
from web.jobs.job import Job, JobState
from web.jobs.patience import Patience
from web.jobs.refusals import Reason

IMPATIENT = Patience(least_seconds=0.5, unknown_seconds=0.5)


def _right(job: Job, fingerprint: str = "stub-1") -> list[bytes]:
    return [
        picture_of(request, request.num_steps, 64, fingerprint) for request in job.asked.requests
    ]


@pytest.mark.parametrize("in_chunks", [True, False])
def test_after_a_cancel_the_next_picture_is_right_and_not_drawn_beside_the_cancelled_one(
    in_chunks: bool,
) -> None:
    async def main() -> None:
        behaviour = Behaviour(in_chunks=in_chunks, seconds_per_step=0.02)
        with StubModelServer(behaviour) as stub:
            async with queue_on(stub.endpoint) as queue:
                await ended(queue.submit(asked(steps=10)))
                for number in range(4):
                    cancelled = queue.submit(asked("cancelled", steps=20, seed=number))
                    following = queue.submit(asked(f"following {number}", steps=5))
                    await until(lambda: stub.in_flight == 1, "the call")
                    await asyncio.sleep(0.05 * number)
                    queue.cancel(cancelled)
                    assert cancelled.state is JobState.CANCELLED
                    await ended(following)
                    assert pngs(following) == _right(following)
                assert stub.most_in_flight == 1

    asyncio.run(main())


def test_an_older_models_pictures_are_those_of_one_request() -> None:
    async def main() -> None:
        with StubModelServer(Behaviour(in_chunks=False)) as stub:
            async with queue_on(stub.endpoint) as queue:
                job = queue.submit(asked(count=3))
                await ended(job)
                assert pngs(job) == _right(job)
                assert stub.calls["serving_default"] == 3

    asyncio.run(main())


def test_a_model_that_does_not_describe_itself_is_drawn_whole() -> None:
    async def main() -> None:
        with StubModelServer() as stub:
            stub.behaviour.fails["describe"] = grpc.StatusCode.FAILED_PRECONDITION
            async with queue_on(stub.endpoint) as queue:
                job = queue.submit(asked())
                await ended(job)
                assert pngs(job) == _right(job)

    asyncio.run(main())


def test_the_deadline_stops_an_older_model_between_two_steps() -> None:
    async def main() -> None:
        behaviour = Behaviour(in_chunks=False, seconds_per_step=0.05)
        with StubModelServer(behaviour) as stub:
            async with queue_on(stub.endpoint) as queue:
                job = queue.submit(asked(steps=50, deadline_seconds=0.5))
                following = queue.submit(asked(steps=2))
                await ended(job)
                assert job.problem is not None and job.problem.reason is Reason.TOO_LATE
                assert job.ended is not None
                assert job.ended - job.submitted == pytest.approx(0.5, abs=0.2)
                await ended(following)
                assert pngs(following) == _right(following)
                assert stub.most_in_flight == 1

    asyncio.run(main())


@pytest.mark.parametrize("signature", ["begin", "advance", "finish"])
def test_a_hung_server_is_given_up_and_used_again_when_it_answers(signature: str) -> None:
    async def main() -> None:
        with StubModelServer() as stub:
            async with queue_on(stub.endpoint, patience=IMPATIENT) as queue:
                stub.behaviour.hangs = {signature, "status"}
                job, following = queue.submit(asked()), queue.submit(asked())
                await ended(job)
                assert job.state is JobState.FAILED
                assert job.problem is not None and job.problem.reason is Reason.LOST
                assert "did not answer in time" in job.problem.message
                await asyncio.sleep(0.5)
                assert following.state is JobState.QUEUED
                stub.behaviour.hangs = set()
                await ended(following)
                assert pngs(following) == _right(following)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.INTERNAL, Reason.FAILED),
        (grpc.StatusCode.UNKNOWN, Reason.FAILED),
        (grpc.StatusCode.UNIMPLEMENTED, Reason.FAILED),
        (grpc.StatusCode.PERMISSION_DENIED, Reason.FAILED),
        (grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID),
    ],
)
@pytest.mark.parametrize("signature", ["begin", "advance", "finish"])
def test_a_failing_server_ends_the_job_with_a_reason_and_takes_the_next(
    signature: str, code: grpc.StatusCode, reason: Reason
) -> None:
    async def main() -> None:
        with StubModelServer() as stub:
            async with queue_on(stub.endpoint) as queue:
                stub.behaviour.fails = {signature: code}
                job = queue.submit(asked())
                await ended(job)
                assert job.problem is not None and job.problem.reason is reason
                assert stub.endpoint not in job.problem.message
                stub.behaviour.fails = {}
                following = queue.submit(asked())
                await ended(following)
                assert pngs(following) == _right(following)

    asyncio.run(main())


def test_a_server_whose_own_time_limit_ends_a_call_ends_the_job() -> None:
    async def main() -> None:
        with StubModelServer() as stub:
            async with queue_on(stub.endpoint) as queue:
                stub.behaviour.fails = {"advance": grpc.StatusCode.DEADLINE_EXCEEDED}
                job = queue.submit(asked())
                await ended(job)
                assert job.problem is not None and job.problem.reason is Reason.LOST
                assert "did not answer in time" in job.problem.message

    asyncio.run(main())


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_server_that_is_full_of_others_requests_is_waited_for(code: grpc.StatusCode) -> None:
    async def main() -> None:
        with StubModelServer() as stub:
            async with queue_on(stub.endpoint) as queue:
                stub.behaviour.fails = {"begin": code}
                job = queue.submit(asked())
                await until(lambda: stub.calls["begin"] == 2, "the second try")
                stub.behaviour.fails = {}
                await ended(job)
                assert pngs(job) == _right(job)

    asyncio.run(main())


@pytest.mark.slow
def test_a_job_whose_server_was_killed_is_drawn_when_it_has_started_again() -> None:
    async def main() -> None:
        with stub_process("--seconds-per-step=0.1") as stub:
            async with queue_on(stub.endpoint) as queue:
                job, following = queue.submit(asked(steps=20)), queue.submit(asked("b", steps=2))
                await until_step(job, 8)
                stub.kill()
                await asyncio.sleep(0.5)
                assert job.state is JobState.DRAWING
                stub.start()
                await ended(job, following)
                assert pngs(job) == _right(job)
                assert pngs(following) == _right(following)

    asyncio.run(main())


@pytest.mark.slow
def test_jobs_whose_server_was_killed_for_good_end_with_a_reason() -> None:
    async def main() -> None:
        with stub_process("--seconds-per-step=0.1") as stub:
            patience = Patience(away_seconds=1.0)
            async with queue_on(stub.endpoint, patience=patience) as queue:
                jobs = [queue.submit(asked(steps=20)) for _ in range(3)]
                await until_step(jobs[0], 2)
                stub.kill()
                await asyncio.wait_for(ended(*jobs), 5)
                for job in jobs:
                    assert job.problem is not None
                    assert job.problem.reason in (Reason.LOST, Reason.UNREACHABLE)
                    assert job.problem.retry_after_seconds

    asyncio.run(main())


@pytest.mark.slow
def test_a_job_that_kills_its_server_each_time_ends() -> None:
    async def main() -> None:
        with stub_process("--seconds-per-step=0.1") as stub:
            async with queue_on(stub.endpoint) as queue:
                job = queue.submit(asked(steps=50))
                for _ in range(3):
                    await until_step(job, job.step + 2)
                    await asyncio.sleep(0.1)  # a call is on its way
                    stub.kill()
                    stub.start()
                await asyncio.wait_for(ended(job), 5)
                assert job.problem is not None and job.problem.reason is Reason.LOST
                assert "went away 3 times" in job.problem.message

    asyncio.run(main())


def test_two_servers_draw_at_the_same_time_and_each_one_job() -> None:
    async def main() -> None:
        behaviour = Behaviour(seconds_per_step=0.02)
        with StubModelServer(behaviour) as one, StubModelServer(behaviour) as other:
            async with queue_on(one.endpoint, other.endpoint) as queue:
                jobs = [queue.submit(asked(str(n), steps=10)) for n in range(8)]
                await ended(*jobs)
                assert [pngs(job) for job in jobs] == [_right(job) for job in jobs]
                assert (one.most_in_flight, other.most_in_flight) == (1, 1)
                assert (one.calls["begin"], other.calls["begin"]) == (4, 4)

    asyncio.run(main())


@pytest.mark.slow
def test_an_idle_server_that_is_killed_is_missed_at_once_and_found_when_it_is_back() -> None:
    async def main() -> None:
        with stub_process() as stub:
            async with queue_on(stub.endpoint) as queue:
                models = queue._models
                await ended(queue.submit(asked()))
                stub.kill()
                start = asyncio.get_running_loop().time()
                await until(lambda: not models.ready, "the loss")
                assert asyncio.get_running_loop().time() - start < 3
                stub.start()
                job = queue.submit(asked())
                await ended(job)
                assert pngs(job) == _right(job)

    asyncio.run(main())
