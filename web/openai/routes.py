"""The paths under `/v1`."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Mapping

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, StreamingResponse

from web import notes
from web.faults import FaultError
from web.jobs.job import Job
from web.jobs.refusals import Reason
from web.openai import answers, streaming
from web.openai.errors import invalid, undrawn
from web.openai.image_request import ImageRequest, model_not_found
from web.safety.owner import owner_of
from web.service import Service, ask, drawn

TIMEOUT_HEADERS = ("x-stainless-read-timeout", "x-stainless-timeout")
"""In which OpenAI's SDKs for Python and JavaScript say how many seconds they wait for an answer."""

UNBUFFERED = {"X-Accel-Buffering": "no"}
"""Asks proxies to pass each event on at once."""

UNREAD_PATHS = ("/v1/images/edits", "/v1/images/variations")
"""Refused whatever their bodies are: forms with pictures."""

DISCARD_SECONDS = 2.0


def router(service: Service) -> APIRouter:
    """Errors are raised; the application answers them by `error_body`."""
    # Not in the OpenAPI document: OpenAI publishes its own.
    routes = APIRouter(prefix="/v1", include_in_schema=False)
    name, created = service.options.model_name, int(time.time())

    @routes.get("/models")
    async def list_models() -> Response:  # pyright: ignore[reportUnusedFunction]
        return JSONResponse({"object": "list", "data": [answers.model(name, created)]})

    @routes.get("/models/{wanted:path}")
    async def find_model(wanted: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        if wanted != name:
            raise model_not_found(wanted, name)
        return JSONResponse(answers.model(name, created))

    @routes.post("/images/edits")
    @routes.post("/images/variations")
    async def refuse_edits(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        await _discard(request)
        raise FaultError(
            400,
            f"{request.url.path} is not offered: the model draws from a prompt alone; "
            "use /v1/images/generations",
            code="unsupported_endpoint",
        )

    return routes


def drawing(service: Service) -> APIRouter:
    """The path that draws; `router` has all others."""
    routes = APIRouter(prefix="/v1", include_in_schema=False)

    @routes.post("/images/generations")
    async def generate(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        try:
            asked = ImageRequest.model_validate_json(await request.body())
        except ValidationError as error:
            raise invalid(error) from None
        # An open stream is kept alive, however long it takes.
        deadline_seconds = None if asked.stream else timeout_of(request.headers)
        owner = owner_of(request)
        job = ask(service, asked.wish(service.options, owner, deadline_seconds))
        if asked.stream:
            return _stream(service, job, asked, request)
        await drawn(service, job, request)
        if job.problem is not None:
            raise undrawn(job.problem)
        if not job.pictures:
            raise FaultError(400, "all pictures were skipped", code=Reason.CANCELLED.value)
        served = service.models.served
        noted = notes.of(job, served.limits)
        answer = await answers.images(job.pictures, asked, served, noted)
        return JSONResponse(answer, headers=notes.headers(noted))

    return routes


def timeout_of(headers: Mapping[str, str]) -> float | None:
    """After how many seconds the caller gives up; None if it does not say."""
    for name in TIMEOUT_HEADERS:
        try:
            seconds = float(headers.get(name, ""))
        except ValueError:
            continue
        if seconds > 0 and math.isfinite(seconds):
            return seconds
    return None


def _stream(service: Service, job: Job, asked: ImageRequest, request: Request) -> Response:
    # Begun here, since a caller who is gone already never starts the events.
    waiting = asyncio.create_task(_wait(service, job, request))

    async def events() -> AsyncIterator[str]:
        try:
            async for event in streaming.events(service, job, asked):
                yield event
        finally:
            waiting.cancel()

    return StreamingResponse(
        events(),
        media_type="text/event-stream",
        headers={**UNBUFFERED, **notes.headers(job.asked.notes)},
    )


async def _discard(request: Request) -> None:
    """Let the body pass: most callers read no answer before they have sent everything."""
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(DISCARD_SECONDS):
            async for _ in request.stream():
                pass


async def _wait(service: Service, job: Job, request: Request) -> None:
    await drawn(service, job, request)
