"""The path by which a front has a job drawn."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from web.api.documents import JobRequest
from web.api.wishes import wish_of
from web.jobs.job import Drawn, Job, JobState
from web.safety.owner import owner_of
from web.service import Service, ask, hang_up
from web.worker.events import MEDIA_TYPE, Done, Event, Failed, Picture, Progress, Started, line_of

PREFIX = "/worker/v1"
DRAW_PATH = f"{PREFIX}/draw"
HEADERS = {"x-accel-buffering": "no"}
KEEP_ALIVE_SECONDS = 5.0


def router(service: Service) -> APIRouter:
    """Errors are raised; the application answers them."""
    routes = APIRouter(include_in_schema=False)

    @routes.post(DRAW_PATH)
    async def draw(asked: JobRequest, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """A job, as one answer. Whoever hangs up cancels it.

        Its deadline is the front's, who has told its caller of it. Others who ask a worker have
        waited for it before, so that theirs is shorter.
        """
        longest = service.options.draw_deadline_seconds
        job = ask(service, wish_of(asked, owner_of(request)), longest)
        # Begun here, since a caller who is gone already never starts the events.
        hanging_up = asyncio.create_task(_cancel_on_hang_up(service, job, request))

        async def lines() -> AsyncIterator[str]:
            try:
                async for event in events_of(job, service.models.fingerprint):
                    yield line_of(event)
            finally:
                hanging_up.cancel()
                service.queue.cancel(job, keep=False)

        return StreamingResponse(lines(), media_type=MEDIA_TYPE, headers=HEADERS)

    return routes


async def events_of(
    job: Job, fingerprint: str, keep_alive_seconds: float = KEEP_ALIVE_SECONDS
) -> AsyncIterator[Event]:
    """What becomes of the job. A slow reader misses steps, but no picture.

    fingerprint: of the model that is about to draw it.
    """
    yield Started(fingerprint=fingerprint)
    sent, seen = 0, 0
    while True:
        version, is_final = job.version, job.state.is_final
        for drawn in job.pictures[sent:]:
            yield _picture(sent, drawn)
            sent += 1
        if is_final:
            yield _end(job)
            return
        if len(job.pictures) == sent < len(job.asked.requests):
            preview = job.preview if job.preview and job.preview.number > seen else None
            seen = preview.number if preview else seen
            yield Progress(
                picture=sent,
                step=job.step,
                steps=job.asked.requests[sent].num_steps,
                preview=_base64(preview.png) if preview else None,
            )
        await job.wait_for_change(version, keep_alive_seconds)


async def _cancel_on_hang_up(service: Service, job: Job, request: Request) -> None:
    await hang_up(request)
    service.queue.cancel(job, keep=False)


def _picture(number: int, drawn: Drawn) -> Picture:
    answer = drawn.answer
    return Picture(
        picture=number,
        png=_base64(answer.png),
        seed=answer.seed,
        steps=answer.num_steps,
        prompt_tokens=answer.prompt_tokens,
        truncated=answer.truncated,
        negative_prompt_tokens=answer.negative_prompt_tokens,
        negative_prompt_truncated=answer.negative_prompt_truncated,
        fingerprint=answer.fingerprint,
        seconds=drawn.seconds,
    )


def _end(job: Job) -> Done | Failed:
    problem = job.problem
    if job.state is JobState.DONE or problem is None:
        return Done()
    return Failed(
        code=problem.reason.value,
        message=problem.message,
        retry_after_seconds=problem.retry_after_seconds,
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
