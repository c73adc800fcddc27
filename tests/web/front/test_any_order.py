"""Whatever becomes of the pods, in whatever order: every job of a front ends, and ends right."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.front.fake_pods import QUEUE_DEPTH, FakePods
from tests.web.front.fake_workers import FakeWorkers, queue_of_a_front
from tests.web.jobs.fake_server import asked, ended, pngs, right_pngs
from tests.web.jobs.virtual_time import run
from web.jobs.job import Job, JobState
from web.jobs.queue import JobQueue
from web.jobs.refusals import RefusedError

DEADLINE_SECONDS, TIMEOUT_SECONDS, SECONDS_PER_STEP = 60.0, 20.0, 0.5
MOST_WORKERS = 2 * (1 + QUEUE_DEPTH)

events = st.one_of(
    st.tuples(
        st.just("submit"),
        st.integers(1, 20),  # steps
        st.integers(1, 3),  # pictures
        st.sampled_from([5.0, 30.0, None]),  # deadline
    ),
    st.tuples(st.just("submit many"), st.integers(2, MOST_WORKERS)),
    st.tuples(st.sampled_from(["cancel", "skip"]), st.integers(0, 30)),
    st.tuples(st.just("scale"), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.floats(0.0, 30.0)),
    st.tuples(st.just("wait"), st.floats(0.0, 1.0)),
)


def _submit(
    queue: JobQueue, jobs: list[Job], steps: int, count: int, deadline_seconds: float | None
) -> None:
    number = len(jobs)
    jobs.append(
        queue.submit(
            asked(
                *(f"prompt {number}",),
                steps=steps,
                count=count,
                seed=number,
                job_id=f"job-{number}",
                deadline_seconds=deadline_seconds,
            )
        )
    )


def _happen(event: tuple, queue: JobQueue, pods: FakePods, jobs: list[Job]) -> None:
    match event:
        case ("submit", steps, count, deadline_seconds):
            _submit(queue, jobs, steps, count, deadline_seconds)
        case ("submit many", count):
            for _ in range(count):
                _submit(queue, jobs, 4, 1, None)
        case ("cancel", number) if jobs:
            queue.cancel(jobs[number % len(jobs)])
        case ("skip", number) if jobs:
            queue.skip(jobs[number % len(jobs)])
        case ("scale", count):
            pods.scale(count)
        case _:
            pass


def _check_ended(job: Job) -> None:
    assert job.state.is_final
    assert job.ended is not None
    assert job.ended <= job.deadline + 0.001
    assert (job.problem is None) == (job.state is JobState.DONE)
    if job.problem is not None:
        assert "\n" not in job.problem.message
    right = right_pngs(job)
    assert all(png in right for png in pngs(job))


async def _every_job_ends(story: list[tuple], workers: int) -> None:
    pods, jobs = FakePods(TIMEOUT_SECONDS, SECONDS_PER_STEP), list[Job]()
    async with queue_of_a_front(
        FakeWorkers(), workers=workers, deadline_seconds=DEADLINE_SECONDS, transport=pods
    ) as queue:
        for event in story:
            if event[0] == "wait":
                await asyncio.sleep(event[1])
            try:
                _happen(event, queue, pods, jobs)
            except RefusedError as refusal:
                assert refusal.problem.message
        for job in jobs:
            await ended(job)
            _check_ended(job)
        await asyncio.sleep(1)  # until the front has hung up
        pods.scale(1)
        last = queue.submit(asked("last", steps=4))
        await ended(last)
        assert (last.state, pngs(last)) == (JobState.DONE, right_pngs(last))
        assert pods.inside == 0
        assert pods.most_inside <= workers


stories = st.lists(events, max_size=25)
workers = st.sampled_from([1, 3, MOST_WORKERS])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stories, workers)
def test_every_job_of_a_front_ends_whatever_becomes_of_the_pods(
    story: list[tuple], workers: int
) -> None:
    run(_every_job_ends(story, workers))


@pytest.mark.long
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events, max_size=80), workers)
def test_every_job_ends_in_long_stories_too(story: list[tuple], workers: int) -> None:
    run(_every_job_ends(story, workers))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    jobs=st.integers(1, 40),
    workers=st.integers(1, 40),
    pods=st.integers(1, 3),
    waking_seconds=st.floats(0.0, 300.0),
)
def test_a_burst_before_there_is_a_pod_loses_no_job(
    jobs: int, workers: int, pods: int, waking_seconds: float
) -> None:
    """Though queue-proxy has no room for all of them: its time-out is above the front's deadline,
    as the stack sets both."""

    async def main() -> None:
        fake = FakePods(timeout_seconds=615.0, seconds_per_step=SECONDS_PER_STEP)
        async with queue_of_a_front(
            FakeWorkers(), workers=workers, deadline_seconds=600.0, transport=fake
        ) as queue:
            submitted: list[Job] = []
            for _ in range(jobs):
                _submit(queue, submitted, 4, 1, None)
            await asyncio.sleep(waking_seconds)
            fake.scale(pods)
            await ended(*submitted)
            for job in submitted:
                assert (job.state, pngs(job)) == (JobState.DONE, right_pngs(job))
            assert fake.most_inside <= workers

    run(main())
