"""A job that a worker draws: asked for once, followed, stopped, and asked for again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_export.spec import SEED_LIMIT
from tests.web.front.fake_workers import (
    HEADERS,
    FakeWorkers,
    Odd,
    encoded,
    line,
    picture,
    preview,
    progress,
    queue_of_a_front,
)
from tests.web.jobs.fake_server import asked, ended, pngs, right_pngs
from tests.web.jobs.virtual_time import now, run
from tests.web.stub_model_server import picture_of
from web.front.drawing import FIRST_PAUSE_SECONDS, GONE_PAUSE_SECONDS
from web.jobs.job import Job, JobState
from web.jobs.queue import JobQueue
from web.jobs.refusals import Reason
from web.worker.events import Done, Failed, Picture, Progress, Started

STARTED = line(Started(fingerprint="stub-1"))


async def _until_step(job: Job, step: int) -> None:
    while job.step < step:
        assert await job.wait_for_change(job.version, 1000)


def test_a_job_is_one_request_whatever_the_number_of_its_pictures() -> None:
    async def main() -> None:
        fake = FakeWorkers()
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked(steps=3, count=4))
            await ended(job)
            assert job.state is JobState.DONE
            assert pngs(job) == right_pngs(job)
            (body,) = fake.asked
            assert (body["seed"], body["count"], body["steps"]) == (1, 4, 3)

    run(main())


def test_each_step_is_seen_with_its_preview() -> None:
    async def main() -> None:
        async with queue_of_a_front(FakeWorkers()) as queue:
            job = queue.submit(asked(steps=3))
            for step in (1, 2):
                await _until_step(job, step)
                assert now() == pytest.approx(step)
                assert job.preview and job.preview.png == preview(step)

    run(main())


def test_the_pace_of_the_workers_is_learned() -> None:
    async def main() -> None:
        async with queue_of_a_front(FakeWorkers(seconds_per_step=2.0)) as queue:
            await ended(queue.submit(asked(steps=5)))
            job = queue.submit(asked(steps=4))
            await _until_step(job, 1)
            assert queue.seconds_left(job) == pytest.approx(6.0)

    run(main())


def test_after_the_highest_seed_comes_another_request() -> None:
    async def main() -> None:
        fake = FakeWorkers()
        async with queue_of_a_front(fake) as queue:
            requests = (
                asked(steps=1, seed=SEED_LIMIT - 1).requests
                + asked(steps=1, seed=0, count=2).requests
            )
            job = queue.submit(asked(requests=requests))
            await ended(job)
            assert pngs(job) == right_pngs(job)
            assert [(body["seed"], body["count"]) for body in fake.asked] == [
                (SEED_LIMIT - 1, 1),
                (0, 2),
            ]

    run(main())


def test_ten_jobs_are_drawn_at_once_by_ten_workers_and_the_eleventh_waits() -> None:
    async def main() -> None:
        fake = FakeWorkers()
        async with queue_of_a_front(fake, workers=10) as queue:
            jobs = [queue.submit(asked(seed=10 * number)) for number in range(11)]
            await asyncio.sleep(0.1)
            assert (queue.drawing, queue.queued, fake.in_flight) == (10, 1, 10)
            await ended(*jobs)
            assert all(pngs(job) == right_pngs(job) for job in jobs)
            assert fake.most_in_flight == 10

    run(main())


@pytest.mark.parametrize("waking_seconds", [0.0, 100.0])
def test_a_cancel_hangs_up_at_once(waking_seconds: float) -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.waking_seconds = waking_seconds
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked(steps=50))
            await asyncio.sleep(5.5)
            queue.cancel(job)
            assert job.state is JobState.CANCELLED
            await asyncio.sleep(0.01)
            assert (fake.in_flight, fake.hung_up, len(fake.asked)) == (0, 1, 1)
            await asyncio.sleep(100)
            assert len(fake.asked) == 1

    run(main())


def test_a_skipped_picture_is_left_out_and_the_next_ones_are_drawn() -> None:
    async def main() -> None:
        fake = FakeWorkers()
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked(steps=10, count=3))
            await asyncio.sleep(15.5)
            queue.skip(job)
            await ended(job)
            right = right_pngs(job)
            assert pngs(job) == [right[0], right[2]]
            assert [(body["seed"], body["count"]) for body in fake.asked] == [(1, 3), (3, 1)]

    run(main())


@pytest.mark.parametrize(
    "odd",
    [
        503,
        504,
        502,
        429,
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("closed"),
        [],
        [31.0],
    ],
)
def test_what_goes_wrong_before_a_worker_takes_the_job_is_tried_again(odd: Odd) -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.odd = [odd] * 3
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked())
            await ended(job)
            assert (job.state, len(fake.asked)) == (JobState.DONE, 4)
            assert pngs(job) == right_pngs(job)

    run(main())


def test_it_is_tried_until_the_deadline_and_no_longer() -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.odd = [503] * 1000
        async with queue_of_a_front(fake, deadline_seconds=120) as queue:
            job = queue.submit(asked())
            await ended(job)
            assert now() == pytest.approx(120)
            assert job.problem and job.problem.reason is Reason.TOO_LATE
            tries = len(fake.asked)
            assert 20 < tries < 40
            await asyncio.sleep(100)
            assert len(fake.asked) == tries

    run(main())


def test_the_deadline_hangs_up_and_the_worker_knows_it() -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.waking_seconds = 1000
        async with queue_of_a_front(fake, deadline_seconds=120) as queue:
            job = queue.submit(asked())
            await ended(job)
            await asyncio.sleep(0.01)
            assert (fake.in_flight, fake.hung_up) == (0, 1)
            assert fake.asked[0]["deadlineSeconds"] == pytest.approx(120)

    run(main())


@pytest.mark.parametrize(
    "lost",
    [
        [STARTED, line(progress(1, 4)), 2.0],
        [STARTED, line(progress(1, 4)), 31.0, line(progress(2, 4))],
        [STARTED, line(progress(1, 4)), line(Failed(code="shutting_down", message="stopping"))],
        [STARTED, line(Failed(code="model_server_lost", message="away"))],
    ],
)
def test_a_job_whose_worker_is_lost_is_drawn_again_and_is_the_same_picture(lost: Odd) -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.odd = [lost] * 2
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked())
            await ended(job)
            assert (job.state, len(fake.asked)) == (JobState.DONE, 3)
            assert pngs(job) == right_pngs(job)

    run(main())


def test_pictures_that_a_lost_worker_has_drawn_are_not_drawn_again() -> None:
    async def main() -> None:
        fake = FakeWorkers()
        first = asked(steps=4, count=3).requests[0]
        fake.odd = [[STARTED, line(picture(first))]]
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked(steps=4, count=3))
            await ended(job)
            assert pngs(job) == right_pngs(job)
            assert [(body["seed"], body["count"]) for body in fake.asked] == [(1, 3), (2, 2)]

    run(main())


def test_a_job_that_loses_three_workers_ends() -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.odd = [[STARTED]] * 3
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked())
            await ended(job)
            assert (job.state, len(fake.asked)) == (JobState.FAILED, 3)
            assert job.problem and job.problem.reason is Reason.LOST

    run(main())


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("invalid_request", Reason.INVALID),
        ("model_server_failed", Reason.FAILED),
        ("deadline_exceeded", Reason.TOO_LATE),
        ("no such code", Reason.FAILED),
    ],
)
def test_a_failure_that_another_worker_would_repeat_ends_the_job(code: str, reason: Reason) -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.odd = [[STARTED, line(Failed(code=code, message="it is\nso"))]]
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked())
            await ended(job)
            assert (job.state, len(fake.asked)) == (JobState.FAILED, 1)
            assert job.problem and (job.problem.reason, job.problem.message) == (reason, "it is so")

    run(main())


REQUEST = asked().requests[0]
OTHER = asked(seed=99).requests[0]
PICTURE = picture(REQUEST)
LARGE = picture_of(REQUEST, 4, 16, "stub-1")


def changed(event: Picture | Progress, **values: Any) -> bytes:
    return line(event.model_copy(update=values))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (["hello\n"], "a line is no event"),
        ([b"\xff\xfe\n"], "a line is no event"),
        (['{"type": "started"}\n'], "a line is no event"),
        (["[" * 100_000 + "\n"], "a line has more than"),
        ([STARTED, '{"type": "other"}\n'], "a line is no event"),
        ([STARTED, '{"type": "progress", "picture": 0, "step": "1", "steps": []}\n'], "no event"),
        ([STARTED, STARTED], "its lines are not in order"),
        ([line(Done())], "its lines are not in order"),
        ([STARTED, line(Done())], "its pictures are not in order"),
        ([STARTED, line(progress(1, 4, picture=1))], "its pictures are not in order"),
        ([STARTED, line(picture(REQUEST, 1))], "its pictures are not in order"),
        ([STARTED, line(PICTURE), line(PICTURE)], "its pictures are not in order"),
        ([STARTED, line(progress(5, 4))], "after step 0 comes step 5"),
        ([STARTED, line(progress(2, 4)), line(progress(1, 4))], "after step 2 comes step 1"),
        ([STARTED, line(picture(OTHER))], "a picture is another than was asked for"),
        ([STARTED, changed(PICTURE, png="!")], "a picture is no PNG in base64"),
        ([STARTED, changed(PICTURE, png=encoded(b"GIF89a"))], "a picture is no PNG"),
        ([STARTED, changed(PICTURE, png=encoded(LARGE))], "a picture is of another size"),
        ([STARTED, changed(PICTURE, seconds=-1.0)], "a line is no event"),
        ([STARTED, changed(PICTURE, prompt_tokens=2**31)], "a line is no event"),
        ([STARTED, changed(progress(1, 4), preview="!")], "a picture is no PNG in base64"),
        ([STARTED, changed(progress(1, 4), preview=encoded(LARGE))], "larger than the picture"),
        ([STARTED, changed(progress(1, 4), step=-1)], "a line is no event"),
        ([STARTED, *(["x" * 10_000] * 1000)], "a line has more than 66048 bytes"),
        (httpx.Response(200, html="<p>hello</p>"), "it is no application/x-ndjson"),
        (
            httpx.Response(200, headers={**HEADERS, "content-encoding": "gzip"}, content=b""),
            "it is no application/x-ndjson",
        ),
        (302, "HTTP 302"),
        (httpx.Response(500, text="no JSON"), "HTTP 500"),
        (httpx.Response(500, json={"error": {"code": "internal_error"}}), "HTTP 500"),
        (httpx.Response(500, content=b"[" * 100_000), "HTTP 500"),
        (httpx.Response(400, text="no JSON"), "HTTP 400"),
        (httpx.Response(400, content=b"[" * 100_000), "HTTP 400"),
    ],
)
def test_an_answer_that_no_worker_gives_ends_the_job_with_one_line(answer: Odd, words: str) -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.odd = [answer]
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked())
            await ended(job)
            assert (job.state, len(fake.asked)) == (JobState.FAILED, 1)
            assert job.problem and job.problem.reason is Reason.FAILED
            assert words in job.problem.message
            assert len(job.problem.message.splitlines()) == 1
            await asyncio.sleep(0.01)
            assert fake.in_flight == 0
            next_job = queue.submit(asked())
            await ended(next_job)
            assert next_job.state is JobState.DONE

    run(main())


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (400, Reason.INVALID, "the worker did not take the request: it is so"),
        (500, Reason.FAILED, "the worker failed before it drew: it is so"),
    ],
)
def test_a_refusal_or_fault_of_the_workers_own_ends_the_job_in_its_words(
    status: int, reason: Reason, words: str
) -> None:
    async def main() -> None:
        fake = FakeWorkers()
        error = {"error": {"code": "some_code", "message": "it is\nso"}}
        fake.odd = [httpx.Response(status, json=error)]
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked())
            await ended(job)
            assert (job.state, len(fake.asked)) == (JobState.FAILED, 1)
            assert job.problem and (job.problem.reason, job.problem.message) == (reason, words)

    run(main())


def test_an_empty_500_is_a_worker_that_went_away_and_the_job_is_drawn_after_a_pause() -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.odd = [500, 503, 500]
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked(steps=4))
            await ended(job)
            assert (job.state, len(fake.asked)) == (JobState.DONE, 4)
            assert pngs(job) == right_pngs(job)
            assert now() == pytest.approx(4 + 2 * GONE_PAUSE_SECONDS + FIRST_PAUSE_SECONDS)

    run(main())


@pytest.mark.parametrize("odd", [[500] * 1000, [[STARTED], 500, 503, [STARTED], *[500] * 1000]])
def test_a_job_that_ends_every_worker_ends_with_the_third_whenever_it_does(odd: list[Odd]) -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.odd = odd
        async with queue_of_a_front(fake, deadline_seconds=600) as queue:
            job, tries = queue.submit(asked()), 3 + odd[:4].count(503)
            await ended(job)
            assert (job.state, len(fake.asked)) == (JobState.FAILED, tries)
            assert job.problem and job.problem.reason is Reason.LOST
            await asyncio.sleep(1000)
            assert len(fake.asked) == tries

    run(main())


@pytest.mark.parametrize("ends", ["cancel", "deadline"])
def test_a_job_that_ends_in_the_pause_after_an_empty_500_asks_no_worker_again(ends: str) -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.odd = [500]
        async with queue_of_a_front(fake, deadline_seconds=GONE_PAUSE_SECONDS / 2) as queue:
            job = queue.submit(asked())
            await asyncio.sleep(GONE_PAUSE_SECONDS / 4)
            if ends == "cancel":
                queue.cancel(job)
            await ended(job)
            reason = Reason.TOO_LATE if ends == "deadline" else Reason.CANCELLED
            assert job.problem and job.problem.reason is reason
            await asyncio.sleep(100)
            assert len(fake.asked) == 1

    run(main())


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (401, "the workers do not accept the front's key: check --worker-key-file"),
        (403, "the workers refuse the front's requests"),
        (404, "there are no workers at --worker-url"),
        (httpx.ConnectError("refused"), "no worker answers at --worker-url"),
    ],
)
def test_a_mistake_that_does_not_pass_ends_the_job_after_a_while(odd: Odd, words: str) -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.odd = [odd] * 1000
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked())
            await ended(job)
            assert 90 < now() < 100
            assert job.problem and job.problem.reason is Reason.UNREACHABLE
            assert words in job.problem.message

    run(main())


def test_an_exchanged_key_is_shown_at_the_next_request(tmp_path: Path) -> None:
    async def main() -> None:
        fake, file = FakeWorkers(), tmp_path / "key"
        file.write_text("one\n")
        fake.odd = [401]
        async with queue_of_a_front(fake, key_file=file) as queue:
            job = queue.submit(asked())
            await asyncio.sleep(0.1)
            file.write_text("two\n")
            await ended(job)
            assert job.state is JobState.DONE
            file.unlink()
            await ended(queue.submit(asked()))
            assert fake.keys == ["Bearer one", "Bearer two", "Bearer two"]

    run(main())


async def _drawn_after(queue: JobQueue, fake: FakeWorkers, seconds: float) -> None:
    fake.waking_seconds = seconds
    await ended(queue.submit(asked()))


def test_a_job_says_that_a_machine_is_being_woken_and_how_long_that_takes() -> None:
    async def main() -> None:
        fake = FakeWorkers()
        async with queue_of_a_front(fake) as queue:
            fake.waking_seconds = 100
            job = queue.submit(asked())
            await asyncio.sleep(1)
            assert job.waking_until is None
            await job.wait_for_change(job.version, 10)
            assert now() == pytest.approx(3)
            assert job.waking_until == pytest.approx(180)
            await _until_step(job, 1)
            assert job.waking_until is None

    run(main())


@pytest.mark.parametrize("seconds", [0, 2])
def test_a_job_whose_worker_runs_never_speaks_of_waking(seconds: float) -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.waking_seconds = seconds
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked(steps=10, count=2))
            while not job.state.is_final:
                await asyncio.sleep(0.5)
                assert job.waking_until is None

    run(main())


def test_how_long_it_takes_is_learned_from_the_last_times() -> None:
    async def main() -> None:
        fake = FakeWorkers()
        async with queue_of_a_front(fake) as queue:
            for seconds in (60, 100, 1, 8):  # the last two were no wakings
                await _drawn_after(queue, fake, seconds)
            fake.waking_seconds = 50
            job, submitted = queue.submit(asked()), now()
            await asyncio.sleep(10)
            assert job.waking_until == pytest.approx(submitted + 80)
            assert queue.seconds_left(job) == pytest.approx(70 + 4)
            await asyncio.sleep(30)
            assert queue.seconds_left(job) == pytest.approx(40 + 4)

    run(main())


def test_a_cancelled_job_wakes_nothing_any_more() -> None:
    async def main() -> None:
        fake = FakeWorkers()
        fake.waking_seconds = 100
        async with queue_of_a_front(fake) as queue:
            job = queue.submit(asked())
            await asyncio.sleep(10)
            queue.cancel(job)
            await asyncio.sleep(0.01)
            assert job.waking_until is None

    run(main())
