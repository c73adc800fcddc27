"""Whatever happens, in whatever order: every job ends, and no server draws two at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prediction.errors import ClientError, QueueFullError, UnexpectedAnswerError
from tests.web.jobs.fake_server import FakeServer, asked, ended, queue_before
from tests.web.jobs.virtual_time import run
from tests.web.stub_model_server import picture_of
from web.jobs.job import Job, JobState
from web.jobs.patience import Patience
from web.jobs.queue import JobQueue
from web.jobs.refusals import RefusedError

PATIENCE = Patience(away_seconds=20.0, least_seconds=15.0, unknown_seconds=40.0)
SERVERS, SIZE, DEADLINE_SECONDS = 2, 3, 60.0
FAILURES: tuple[Callable[[], ClientError], ...] = (
    lambda: QueueFullError("full"),
    lambda: UnexpectedAnswerError("no", status="INTERNAL"),
    lambda: UnexpectedAnswerError("no", status="UNAVAILABLE"),
)

events = st.one_of(
    st.tuples(
        st.just("submit"),
        st.integers(1, 20),  # steps
        st.integers(1, 3),  # pictures
        st.sampled_from([5.0, 30.0, None]),  # deadline
        st.booleans(),  # keeps what is half done
    ),
    st.tuples(st.sampled_from(["cancel", "skip", "hang up", "again"]), st.integers(0, 30)),
    st.tuples(
        st.sampled_from(["crash", "start", "hang", "load", "other model", "older model"]),
        st.integers(0, SERVERS - 1),
    ),
    st.tuples(st.just("fail"), st.integers(0, SERVERS - 1), st.sampled_from(FAILURES)),
    st.tuples(st.just("wait"), st.floats(0.0, 30.0)),
    st.tuples(st.just("wait"), st.floats(0.0, 1.0)),
)


def _happen(event: tuple, queue: JobQueue, fakes: list[FakeServer], jobs: list[Job]) -> None:
    match event:
        case ("submit", steps, count, deadline, keeps):
            number = len(jobs)
            job = queue.submit(
                asked(
                    *(f"prompt {number}",),
                    steps=steps,
                    count=count,
                    seed=number,
                    job_id=f"job-{number}",
                    deadline_seconds=deadline,
                    keeps_unfinished=keeps,
                )
            )
            jobs.append(job)
        case ("cancel" | "skip" | "hang up" | "again" as what, number) if jobs:
            job = jobs[number % len(jobs)]
            match what:
                case "cancel":
                    queue.cancel(job)
                case "skip":
                    queue.skip(job)
                case "hang up":
                    queue.cancel(job, keep=False)
                case _:
                    assert queue.submit(asked(job_id=job.id)) is job
        case ("fail", number, failure):
            fakes[number].fail_next.append(failure())
        case ("crash", number):
            fakes[number].crash()
        case ("start", number):
            fakes[number].hangs = False
            fakes[number].start_again(is_loading=False)
        case ("hang", number):
            fakes[number].hangs = True
        case ("load", number):
            fakes[number].behaviour.is_loading = True
        case ("other model", number):
            fakes[number].behaviour.fingerprint += "x"
        case ("older model", number):
            fakes[number].behaviour.in_chunks ^= True
        case _:
            pass


def _check_ended(job: Job) -> None:
    assert job.state.is_final
    assert job.ended is not None
    assert job.ended <= job.deadline + 0.001
    if job.state is JobState.DONE:
        assert job.problem is None
    else:
        assert job.problem is not None
    for drawn in job.pictures:
        if drawn.is_complete:
            fingerprint = drawn.answer.fingerprint
            steps = drawn.request.num_steps
            assert drawn.answer.png == picture_of(drawn.request, steps, 8, fingerprint)


async def _every_job_ends(story: list[tuple]) -> None:
    fakes = [FakeServer(seconds_per_picture=0.5) for _ in range(SERVERS)]
    jobs: list[Job] = []
    async with queue_before(
        *fakes, size=SIZE, deadline_seconds=DEADLINE_SECONDS, patience=PATIENCE
    ) as queue:
        for event in story:
            if event[0] == "wait":
                await asyncio.sleep(event[1])
            try:
                _happen(event, queue, fakes, jobs)
            except RefusedError as refusal:
                assert refusal.problem.message
            assert queue.queued <= SIZE
            for job in jobs:
                left = queue.seconds_left(job)
                assert left is None or left >= 0
        await asyncio.wait_for(ended(*jobs), DEADLINE_SECONDS + 1)
        versions = [job.version for job in jobs]
        await asyncio.sleep(10 * DEADLINE_SECONDS)
        assert [job.version for job in jobs] == versions  # an ended job changes no more
        for job in jobs:
            _check_ended(job)
        assert max(fake.most_in_flight for fake in fakes) <= 1
        # Nothing is left that would keep later jobs from being drawn.
        for fake in fakes:
            fake.hangs, fake.fail_next = False, []
            fake.start_again(is_loading=False)
        await asyncio.sleep(60)
        last = [queue.submit(asked(str(n))) for n in range(SERVERS + SIZE)]
        await ended(*last)
        assert {job.state for job in last} == {JobState.DONE}


@settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events, max_size=40))
def test_every_job_ends_and_none_is_drawn_beside_another(story: list[tuple]) -> None:
    run(_every_job_ends(story))


@pytest.mark.long
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events, max_size=100))
def test_every_job_ends_in_long_stories_too(story: list[tuple]) -> None:
    run(_every_job_ends(story))
