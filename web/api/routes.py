"""The paths of the own API, and /health and /ready."""

# The decorators use the functions: pyright: reportUnusedFunction=false

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from web.api import describing, events, figures, tokens
from web.api.documents import (
    CapabilitiesDocument,
    HealthDocument,
    JobDocument,
    JobRequest,
    JobsDocument,
    ReadyDocument,
    StatusDocument,
)
from web.api.openapi import EVENT_STREAM, PICTURE, PREVIEW, errors, open_to_all
from web.api.wishes import wish_of
from web.faults import FaultError
from web.jobs.job import Job
from web.pictures.formats import Format, file_in_background
from web.safety.owner import owner_of
from web.service import Service, ask

PREFIX = "/api/v1"
MAX_WAIT_SECONDS = 60.0
MAX_LISTED = 100
"""Jobs in one answer: a thousand long prompts would hold up everybody else for a while."""

Wait = Annotated[
    float,
    Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for a change of the job"),
]
Version = Annotated[int | None, Query(ge=0, description="The version that the caller has")]
Number = Annotated[int, Path(ge=0, description="The first picture's is 0")]


def router(service: Service) -> APIRouter:
    """Errors are raised; the application answers them."""
    routes = APIRouter()
    routes.include_router(_jobs(service))
    routes.include_router(figures.router(service))
    routes.include_router(tokens.router(service))
    started = time.monotonic()

    @routes.get(f"{PREFIX}/capabilities", responses=errors(), tags=["service"])
    async def get_capabilities() -> CapabilitiesDocument:
        """What the model and the service can do, their limits and defaults."""
        return describing.capabilities(service)

    @routes.get(f"{PREFIX}/status", responses=errors(), tags=["service"])
    async def get_status() -> StatusDocument:
        """Whether pictures can be drawn, and how busy the service is."""
        return describing.status(service, time.monotonic() - started)

    return routes


def probes(service: Service) -> APIRouter:
    """For whoever watches the process."""
    routes = APIRouter()

    @routes.get("/health", **open_to_all(HealthDocument))
    async def get_health(response: Response) -> HealthDocument:
        """Whether the process takes requests. 503 once it stops."""
        response.status_code = 503 if service.queue.is_draining else 200
        return HealthDocument(status="draining" if service.queue.is_draining else "ok")

    @routes.get("/ready", **open_to_all(ReadyDocument))
    async def get_ready(response: Response) -> ReadyDocument:
        """Whether pictures can be drawn at present. 503 while no model server is ready, and once
        the process stops."""
        is_ready = bool(service.models.ready) and not service.queue.is_draining
        response.status_code = 200 if is_ready else 503
        return ReadyDocument(status="ready" if is_ready else "not_ready")

    return routes


def _find(service: Service, request: Request, job_id: str) -> Job:
    """The caller's job. Raises FaultError."""
    owner = owner_of(request)
    job = service.queue.find(owner, job_id)
    if job is not None:
        return job
    if service.queue.is_gone(owner, job_id):
        raise FaultError(410, "the job's results are kept no longer: submit it again")
    raise FaultError(404, "you have no job with this id: submit it, or list your jobs")


def _jobs(service: Service) -> APIRouter:
    routes = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"])

    @routes.post(
        "",
        status_code=202,
        responses=errors(408, 409, 413, 415, 429, 503, 504) | {200: {"model": JobDocument}},
    )
    async def submit_job(asked: JobRequest, request: Request, response: Response) -> JobDocument:
        """Submit a job. 202: it waits, or is being drawn. 200: there is one with this id already,
        for the same pictures, which is answered as it is."""
        owner = owner_of(request)
        known = service.queue.find(owner, asked.id) if asked.id else None
        job = ask(service, wish_of(asked, owner))
        response.status_code = 200 if job is known else 202
        response.headers["location"] = describing.path_of(job)
        return describing.job_document(service, job)

    @routes.get("", responses=errors())
    async def list_jobs(request: Request) -> JobsDocument:
        """The caller's jobs, newest first: the last hundred."""
        jobs = service.queue.jobs(owner_of(request))[:MAX_LISTED]
        return JobsDocument(jobs=[describing.job_document(service, job) for job in jobs])

    @routes.get("/{job_id}", responses=errors(404, 410))
    async def get_job(
        request: Request, job_id: str, wait: Wait = 0.0, version: Version = None
    ) -> JobDocument:
        """The job as it is. With `wait`, not before its version differs from `version` or, without
        that, before it has ended; at the latest when the time has passed."""
        job = _find(service, request, job_id)
        if version is not None and not job.state.is_final:
            await job.wait_for_change(version, wait)
        elif wait:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await job.wait_for_end()
        return describing.job_document(service, job)

    @routes.delete("/{job_id}", responses=errors(404, 410))
    async def cancel_job(request: Request, job_id: str) -> JobDocument:
        """Cancel the job. One that has ended stays as it is."""
        job = _find(service, request, job_id)
        service.queue.cancel(job)
        return describing.job_document(service, job)

    @routes.get(
        "/{job_id}/events", response_class=Response, responses=errors(404, 410) | EVENT_STREAM
    )
    async def watch_job(request: Request, job_id: str) -> Response:
        """The job at every change, as server-sent events: `event: job`, with the job's document as
        `data`. The stream ends after the last state; comment lines keep it alive."""
        job = _find(service, request, job_id)
        return StreamingResponse(
            events.job_events(service, job), media_type=events.MEDIA_TYPE, headers=events.HEADERS
        )

    @routes.get(
        "/{job_id}/pictures/{number}", response_class=Response, responses=errors(404, 410) | PICTURE
    )
    async def get_picture(
        request: Request,
        job_id: str,
        number: Number,
        picture_format: Annotated[Format, Query(alias="format")] = Format.PNG,
    ) -> Response:
        """A finished picture. Its file says how it was made."""
        job = _find(service, request, job_id)
        if number >= len(job.pictures):
            raise FaultError(
                404, "this picture is not drawn: the job's document lists those that are"
            )
        drawn = job.pictures[number]
        content = await file_in_background(drawn, service.models.served, picture_format)
        return Response(content, media_type=picture_format.media_type)

    @routes.get("/{job_id}/preview", response_class=Response, responses=errors(404, 410) | PREVIEW)
    async def get_preview(request: Request, job_id: str) -> Response:
        """What the picture that is being drawn looks like, as a small PNG."""
        job = _find(service, request, job_id)
        # Whoever asks for one cannot know that its picture is done meanwhile: that is no mistake.
        if job.preview is None:
            return Response(status_code=204)
        return Response(job.preview.png, media_type=Format.PNG.media_type)

    return routes
