"""A worker: one job at a time, as a stream of its events, and the APIs that S2's caller asks."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import grpc
import httpx
import pytest

from tests.web.in_process import Check, InProcess, check_in_process
from tests.web.stub_model_server import Behaviour
from web.roles import Role
from web.worker.events import Done, Event, Failed, Picture, Progress, Started, event_in

DRAW = "/worker/v1/draw"
ASKED = {"prompt": "a red circle", "steps": 3, "seed": 7}
SLOW = 0.1


def check_worker(check: Check, behaviour: Behaviour | None = None, **options: Any) -> None:
    check_in_process(
        check, behaviour, role=Role.WORKER, **{"queue": 0, "keep_results_seconds": 0.0, **options}
    )


def events_in(answer: httpx.Response) -> list[Event]:
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [event_in(line) for line in answer.content.splitlines()]


def test_a_job_is_answered_as_its_events_with_all_its_pictures() -> None:
    async def check(run: InProcess) -> None:
        events = events_in(await run.post(DRAW, **ASKED, count=2))
        assert events[0] == Started(fingerprint="stub-1")
        assert events[-1] == Done()
        pictures = [event for event in events if isinstance(event, Picture)]
        assert [picture.picture for picture in pictures] == [0, 1]
        assert [picture.seed for picture in pictures] == [7, 8]
        for request, picture in zip(run.stub.requests, pictures, strict=True):
            assert base64.b64decode(picture.png) == run.stub.picture(request)

    check_worker(check)


def test_the_steps_come_one_by_one_with_their_previews() -> None:
    async def check(run: InProcess) -> None:
        events = events_in(await run.post(DRAW, **ASKED))
        steps = [event for event in events if isinstance(event, Progress) and event.step]
        assert [event.step for event in steps] == [1, 2, 3]
        for event in steps:
            assert base64.b64decode(event.preview or "").startswith(b"\x89PNG")

    check_worker(check, Behaviour(seconds_per_step=SLOW))


@pytest.mark.parametrize("path", [DRAW, "/sdapi/v1/txt2img", "/v1/images/generations"])
def test_a_second_request_at_the_same_moment_is_told_that_the_worker_is_busy(path: str) -> None:
    async def check(run: InProcess) -> None:
        first = asyncio.create_task(run.post(DRAW, **{**ASKED, "steps": 30}))
        await run.until(lambda: run.stub.in_flight > 0)
        answer = await run.post(path, prompt="a second")
        assert answer.status_code == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 10
        assert "this worker draws one job at a time, and is at one" in answer.text
        assert events_in(await first)[-1] == Done()
        assert run.value("web_rejected_total", reason="busy") == 1
        assert run.stub.most_in_flight == 1

    check_worker(check, Behaviour(seconds_per_step=SLOW))


@pytest.mark.parametrize("path", [DRAW, "/sdapi/v1/txt2img", "/v1/images/generations"])
def test_a_request_whose_turn_it_is_waits_until_the_last_caller_is_known_to_be_gone(
    path: str,
) -> None:
    async def check(run: InProcess) -> None:
        first = asyncio.create_task(run.post(DRAW, **{**ASKED, "steps": 50}))
        await run.until(lambda: run.stub.in_flight > 0)
        second = asyncio.create_task(run.post(path, **ASKED))
        await asyncio.sleep(SLOW)
        (job,) = run.service.queue.jobs("")
        run.service.queue.cancel(job, keep=False)
        assert (await second).status_code == 200
        await first
        assert run.stub.most_in_flight == 1

    check_worker(check, Behaviour(seconds_per_step=SLOW))


def test_a_job_after_a_cancelled_one_waits_for_its_last_chunk() -> None:
    async def check(run: InProcess) -> None:
        queue = run.service.queue
        first = asyncio.create_task(run.post(DRAW, **{**ASKED, "steps": 50}))
        await run.until(lambda: run.stub.in_flight > 0)
        (job,) = queue.jobs("")
        queue.cancel(job)
        events = events_in(await run.post(DRAW, **ASKED))
        assert events[-1] == Done()
        assert run.stub.most_in_flight == 1
        assert isinstance(events_in(await first)[-1], Failed)

    check_worker(check, Behaviour(seconds_per_step=SLOW))


def test_the_other_apis_draw_the_same_picture() -> None:
    async def check(run: InProcess) -> None:
        openai = await run.post("/v1/images/generations", **ASKED)
        a1111 = await run.post("/sdapi/v1/txt2img", **ASKED)
        assert (openai.status_code, a1111.status_code) == (200, 200)
        assert openai.json()["data"][0]["seed"] == 7
        one, two = run.stub.requests
        assert one == two

    check_worker(check)


def test_what_was_not_done_within_its_deadline_is_a_504_in_the_form_of_its_api() -> None:
    async def check(run: InProcess) -> None:
        openai = await run.post("/v1/images/generations", prompt="a red circle")
        a1111 = await run.post("/sdapi/v1/txt2img", prompt="a red circle")
        assert (openai.status_code, a1111.status_code) == (504, 504)
        assert openai.json()["error"]["code"] == a1111.json()["error"] == "deadline_exceeded"
        assert set(a1111.json()) == {"error", "detail", "body", "errors"}
        assert openai.json()["error"]["type"] == "server_error"
        for answer in (openai, a1111):
            assert 1 <= int(answer.headers["retry-after"]) <= 60

    behaviour = Behaviour(seconds_per_step=SLOW, default_steps=10)
    check_worker(check, behaviour, deadline_seconds=4 * SLOW)


def test_a_fronts_job_has_the_fronts_deadline_which_may_be_longer_than_others() -> None:
    async def check(run: InProcess) -> None:
        steps = {"steps": 8}
        late = await run.post("/sdapi/v1/txt2img", **ASKED | steps)
        assert late.status_code == 504
        drawn = events_in(await run.post(DRAW, **ASKED | steps, deadlineSeconds=30))
        assert drawn[-1] == Done()
        refused = await run.post(DRAW, **ASKED | {"steps": 50}, deadlineSeconds=1)
        assert refused.status_code == 400  # it alone takes longer

    behaviour = Behaviour(seconds_per_step=SLOW)
    check_worker(check, behaviour, deadline_seconds=4 * SLOW, draw_deadline_seconds=60.0)


def test_what_a_worker_does_not_have_is_asked_of_the_front() -> None:
    async def check(run: InProcess) -> None:
        for path in ("/", "/api/v1/jobs", "/sdapi/v1/progress", "/v1/models", "/worker/v1/other"):
            answer = await run.get(path)
            assert answer.status_code == 404
            assert "this is a worker, which only draws; ask the web service's front" in answer.text

    check_worker(check)


def test_a_worker_is_ready_once_its_model_is() -> None:
    async def check(run: InProcess) -> None:
        assert (await run.get("/health")).status_code == 200
        assert (await run.get("/ready")).status_code == 503
        loading = await run.post(DRAW, **ASKED)
        assert (loading.status_code, loading.json()["error"]["code"]) == (503, "model_loading")
        run.stub.behaviour.is_loading = False
        run.service.models.wake()
        await run.until_ready()
        assert (await run.get("/ready")).status_code == 200

    async def first(run: InProcess) -> None:
        await run.until(lambda: run.service.models.is_loading)
        await check(run)

    check_in_process(first, Behaviour(is_loading=True), waits=False, role=Role.WORKER, queue=0)


def test_a_model_server_that_fails_ends_the_stream_with_one_line() -> None:
    async def check(run: InProcess) -> None:
        run.stub.behaviour.fails["advance"] = grpc.StatusCode.INTERNAL
        end = events_in(await run.post(DRAW, **ASKED))[-1]
        assert isinstance(end, Failed)
        assert end.code == "model_server_failed"
        assert "the model server failed to draw the picture (INTERNAL)" in end.message

    check_worker(check)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "prompt"),
        ({"prompt": "a", "steps": 51}, "steps must be from 1 to 50"),
        ({"prompt": "a", "other": 1}, "other"),
    ],
)
def test_a_wrong_request_is_refused_before_there_is_a_stream(
    body: dict[str, object], words: str
) -> None:
    async def check(run: InProcess) -> None:
        answer = await run.post(DRAW, **body)
        assert answer.status_code == 400
        assert words in answer.json()["error"]["message"]

    check_worker(check)
