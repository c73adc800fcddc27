"""How a picture is drawn: chunks, previews, skips, unfinished pictures, models that draw whole."""

from __future__ import annotations

import asyncio
from typing import Any

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
from tests.web.jobs.virtual_time import run
from tests.web.stub_model_server import picture_of
from web.jobs.job import Job, JobState


@pytest.mark.parametrize(
    ("seconds_per_step", "steps"), [(0.09, 10), (0.1, 10), (0.3, 3), (0.6, 1), (4.0, 1)]
)
def test_a_chunk_takes_from_half_a_second_to_a_second_or_is_one_step(
    seconds_per_step: float, steps: int
) -> None:
    async def main() -> None:
        fake = FakeServer(seconds_per_step=seconds_per_step)
        async with queue_before(fake) as queue:
            await ended(queue.submit(asked(steps=10)))
            fake.chunks.clear()
            await ended(queue.submit(asked(steps=50)))
            assert fake.chunks[0] == pytest.approx(steps, rel=0.15)
            assert sum(fake.chunks) == 50

    run(main())


def test_the_first_chunk_of_an_unknown_model_is_one_step() -> None:
    async def main() -> None:
        fake = FakeServer(seconds_per_step=0.01)
        async with queue_before(fake) as queue:
            await ended(queue.submit(asked(steps=20)))
            assert fake.chunks == [1, 10, 9]

    run(main())


def test_there_is_a_preview_after_each_chunk_and_none_after_the_end() -> None:
    async def main() -> None:
        async with queue_before(FakeServer()) as queue:
            job = queue.submit(asked(count=2))
            seen = await _changes(job)
            assert [number for *_, number in seen if number] == sorted(
                number for *_, number in seen if number
            )
            assert {number for *_, number in seen} >= set(range(1, 9))
            assert job.preview is None

    run(main())


@pytest.mark.parametrize("in_chunks", [True, False])
def test_progress_never_falls_and_is_whole_only_at_the_end(in_chunks: bool) -> None:
    async def main() -> None:
        fake = FakeServer(in_chunks=in_chunks, seconds_per_picture=3.0)
        async with queue_before(fake) as queue:
            await learned(queue)
            await learned(queue)
            job = queue.submit(asked(count=2, steps=10))
            seen = await _changes(job)
            steps = [done for _, done, _ in seen]
            assert steps == sorted(steps)
            assert len(set(steps)) >= 15
            assert all(done < 20 for state, done, _ in seen if not in_chunks and not state.is_final)
            assert job.done_steps == job.total_steps == 20

    run(main())


def test_an_estimate_of_a_model_that_draws_whole_waits_before_the_last_step() -> None:
    async def main() -> None:
        fake = FakeServer(in_chunks=False, seconds_per_step=0.5)
        async with queue_before(fake) as queue:
            await learned(queue)
            fake.behaviour.seconds_per_step = 2.0
            job = queue.submit(asked(steps=10))
            await asyncio.sleep(15)
            assert (job.state, job.done_steps) == (JobState.DRAWING, 9)
            await ended(job)
            assert pngs(job) == right_pngs(job)

    run(main())


def test_the_estimate_of_a_cancelled_job_stands_still() -> None:
    async def main() -> None:
        fake = FakeServer(in_chunks=False)
        async with queue_before(fake) as queue:
            await learned(queue)
            job = queue.submit(asked(steps=10))
            await asyncio.sleep(3)
            queue.cancel(job)
            version = job.version
            await asyncio.sleep(20)
            assert job.version == version

    run(main())


def test_a_cancelled_picture_that_is_drawn_whole_holds_its_server_until_it_answers() -> None:
    async def main() -> None:
        fake = FakeServer(in_chunks=False)
        async with queue_before(fake) as queue:
            await learned(queue)
            first = queue.submit(asked(steps=10, keeps_unfinished=True))
            second = queue.submit(asked())
            await asyncio.sleep(3)
            queue.cancel(first)
            assert first.state is JobState.CANCELLED
            await asyncio.sleep(6)
            assert second.state is JobState.QUEUED
            assert queue.seconds_left(second) == pytest.approx(5, abs=0.5)
            await ended(second)
            assert pngs(second) == right_pngs(second)
            assert fake.most_in_flight == 1

    run(main())


def test_a_cancelled_job_keeps_the_half_done_picture_if_it_was_asked_so() -> None:
    async def main() -> None:
        async with queue_before(FakeServer()) as queue:
            job = queue.submit(asked(count=3, steps=10, keeps_unfinished=True))
            await asyncio.sleep(15.5)
            queue.cancel(job)
            await ended(job)
            assert job.state is JobState.CANCELLED
            whole, half = job.pictures
            assert whole.answer.png == right_pngs(job)[0]
            assert half.answer.png == picture_of(half.request, 6, 8, "stub-1")
            assert (whole.is_complete, half.is_complete) == (True, False)

    run(main())


@pytest.mark.parametrize("values", [{}, {"keeps_unfinished": True}])
def test_a_cancelled_job_keeps_no_half_done_picture_for_a_caller_that_has_gone(
    values: dict[str, Any],
) -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            job = queue.submit(asked(count=2, steps=10, **values))
            await asyncio.sleep(15.5)
            queue.cancel(job, keep=False)
            assert job.state is JobState.CANCELLED
            assert pngs(job) == right_pngs(job)[:1]
            await asyncio.sleep(3)
            assert fake.calls["finish"] == 1
            assert len(job.pictures) == 1

    run(main())


@pytest.mark.parametrize("keeps_unfinished", [True, False])
def test_a_skip_ends_one_picture_and_goes_on_with_the_next(keeps_unfinished: bool) -> None:
    async def main() -> None:
        async with queue_before(FakeServer()) as queue:
            job = queue.submit(asked(count=3, steps=10, keeps_unfinished=keeps_unfinished))
            await asyncio.sleep(15.5)
            queue.skip(job)
            await ended(job)
            assert job.state is JobState.DONE
            first, _, third = right_pngs(job)
            assert [png for png in pngs(job) if png in (first, third)] == [first, third]
            assert [drawn.is_complete for drawn in job.pictures] == (
                [True, False, True] if keeps_unfinished else [True, True]
            )

    run(main())


def test_a_skip_of_a_waiting_job_does_nothing() -> None:
    async def main() -> None:
        async with queue_before(FakeServer()) as queue:
            queue.submit(asked())
            job = queue.submit(asked())
            queue.skip(job)
            await ended(job)
            assert pngs(job) == right_pngs(job)

    run(main())


def test_a_model_that_makes_no_progress_fails_the_job() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            await learned(queue)
            fake.advances = False
            job = queue.submit(asked())
            await ended(job)
            assert job.state is JobState.FAILED

    run(main())


async def _changes(job: Job) -> list[tuple[JobState, int, int]]:
    """What a listener sees: the state, the done steps, the preview's number."""
    seen: list[tuple[JobState, int, int]] = []
    while True:
        seen.append((job.state, job.done_steps, job.preview.number if job.preview else 0))
        if job.state.is_final:
            return seen
        await job.wait_for_change(job.version, 1000)
