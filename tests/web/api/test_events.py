"""A job's changes as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import pytest

from tests.web.jobs.fake_server import FakeServer, asked, ended, queue_before
from tests.web.jobs.virtual_time import now, run
from tests.web.running import WebProcess
from web.api import events
from web.api.describing import job_document
from web.api.events import FRESH_SECONDS, KEEP_ALIVE_SECONDS, job_events
from web.jobs.job import Job
from web.jobs.queue import JobQueue

KEEP_ALIVE = ": still here\n\n"


class FakeService:
    """As much of a service as events look at."""

    def __init__(self, queue: JobQueue) -> None:
        self.queue = queue
        self.models = queue._models  # pyright: ignore[reportPrivateUsage]


Check = Callable[[Any, JobQueue, FakeServer], Coroutine[Any, Any, None]]


def in_virtual_time(check: Check, **behaviour: Any) -> None:
    async def main() -> None:
        fake = FakeServer(**behaviour)
        async with queue_before(fake) as queue:
            await check(FakeService(queue), queue, fake)

    run(main())


def read(event: str) -> dict[str, Any]:
    kind, version, data = event.removesuffix("\n\n").split("\n")
    assert kind == "event: job"
    document = json.loads(data.removeprefix("data: "))
    assert version == f"id: {document['version']}"
    return document


async def all_of(events: AsyncIterator[str]) -> list[str]:
    return [event async for event in events]


def test_a_stream_begins_with_the_present_and_ends_with_the_last_state() -> None:
    async def check(service: Any, queue: JobQueue, fake: FakeServer) -> None:
        job = queue.submit(asked(steps=5))
        events = [read(event) for event in await all_of(job_events(service, job))]
        assert events[0]["step"] == 0
        assert [event["state"] for event in events][-1] == "done"
        assert [event["version"] for event in events] == sorted(
            {event["version"] for event in events}
        )
        progress = [event["progress"] for event in events]
        assert progress == sorted(progress)
        assert all(value < 1 for value in progress[:-1])

    in_virtual_time(check)


def test_a_job_that_has_ended_is_one_event() -> None:
    async def check(service: Any, queue: JobQueue, fake: FakeServer) -> None:
        job = queue.submit(asked(steps=1))
        await ended(job)
        [event] = await all_of(job_events(service, job))
        assert read(event)["state"] == "done"

    in_virtual_time(check)


def test_comments_keep_a_silent_stream_alive() -> None:
    async def check(service: Any, queue: JobQueue, fake: FakeServer) -> None:
        queue.submit(asked(steps=1))
        waiting = queue.submit(asked(steps=1))
        started, comments = now(), 0
        async for event in job_events(service, waiting):
            if event == KEEP_ALIVE:
                comments += 1
                assert now() - started >= comments * KEEP_ALIVE_SECONDS - 1
        assert comments >= 2

    in_virtual_time(check, seconds_per_step=40.0)


def test_nobody_gets_more_than_about_ten_events_a_second() -> None:
    async def check(service: Any, queue: JobQueue, fake: FakeServer) -> None:
        job = queue.submit(asked(steps=50, count=4))
        started = now()
        touching = asyncio.create_task(_touch_often(job))
        events = await all_of(job_events(service, job))
        await touching
        assert len(events) <= (now() - started) * 10 + 3

    in_virtual_time(check, seconds_per_step=0.02)


def test_each_version_is_put_in_words_once_for_all_who_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []

    def counted(service: Any, job: Job) -> Any:
        made.append(job.version)
        return job_document(service, job)

    monkeypatch.setattr(events, "job_document", counted)

    async def check(service: Any, queue: JobQueue, fake: FakeServer) -> None:
        job = queue.submit(asked(steps=10))
        streams = await asyncio.gather(*(all_of(job_events(service, job)) for _ in range(500)))
        assert {read(stream[-1])["state"] for stream in streams} == {"done"}
        assert len(made) == len(set(made)) < 20

    in_virtual_time(check, seconds_per_step=0.5)


def test_who_comes_later_is_told_the_seconds_that_are_left() -> None:
    async def check(service: Any, queue: JobQueue, fake: FakeServer) -> None:
        await ended(queue.submit(asked(steps=20)))
        job = queue.submit(asked(steps=20))
        await first_chunk_of(job)
        first = read(await anext(job_events(service, job)))
        await asyncio.sleep(5 * FRESH_SECONDS)
        later = read(await anext(job_events(service, job)))
        assert later["version"] == first["version"]
        assert later["secondsLeft"] <= first["secondsLeft"] - 4 * FRESH_SECONDS

    in_virtual_time(check, seconds_per_step=10.0)


async def first_chunk_of(job: Job) -> None:
    """Until its first chunk is drawn."""
    while not job.step:
        await job.wait_for_change(job.version, 1e6)


async def _touch_often(job: Job) -> None:
    while not job.state.is_final:
        job.touch()
        await asyncio.sleep(0.01)


def test_a_slow_reader_misses_states_and_nothing_piles_up() -> None:
    async def check(service: Any, queue: JobQueue, fake: FakeServer) -> None:
        job = queue.submit(asked(steps=50))
        events = job_events(service, job)
        read(await anext(events))
        await ended(job)
        assert [read(event)["state"] for event in await all_of(events)] == ["done"]

    in_virtual_time(check)


@pytest.mark.slow
def test_the_stream_is_one_that_browsers_and_proxies_take(shared_web: WebProcess) -> None:
    job = shared_web.post("/api/v1/jobs", {"prompt": "a"}).json()
    answer = shared_web.get(f"/api/v1/jobs/{job['id']}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert read(answer.text[answer.text.rindex("event: job") :])["state"] == "done"


@pytest.mark.slow
def test_a_reader_who_leaves_is_forgotten(shared_web: WebProcess) -> None:
    job = shared_web.post("/api/v1/jobs", {"prompt": "a", "count": 10, "steps": 50}).json()
    url = f"{shared_web.url}/api/v1/jobs/{job['id']}/events"
    lines = len(shared_web.log_lines)
    for _ in range(5):
        with httpx.stream("GET", url) as stream:
            next(stream.iter_lines())
    assert shared_web.get("/health").status_code == 200
    assert "ERROR" not in "".join(shared_web.log_lines[lines:])
