"""Jobs, the model and the service as documents."""

from __future__ import annotations

import math
import time
from urllib.parse import quote

from web import VERSION, notes
from web.api.documents import (
    CapabilitiesDocument,
    Error,
    JobDocument,
    LimitsDocument,
    ModelDocument,
    ModelServerDocument,
    PictureDocument,
    PreviewDocument,
    RequestDocument,
    StatusDocument,
)
from web.api.licences import duties
from web.jobs.job import Api, Drawn, Job, JobState
from web.pictures.formats import Format
from web.service import Service

JOBS_PATH = "/api/v1/jobs"
MAX_UNFINISHED = 0.99
"""The progress of a picture whose last step is done, but not the picture."""


def path_of(job: Job) -> str:
    return f"{JOBS_PATH}/{quote(job.id)}"


def job_document(service: Service, job: Job) -> JobDocument:
    limits, first = service.models.served.limits, job.asked.requests[0]
    is_done = job.state is JobState.DONE
    progress = 1.0 if is_done else min(job.done_steps / job.total_steps, MAX_UNFINISHED)
    return JobDocument(
        id=job.id,
        state=job.state,
        version=job.version,
        place=service.queue.place(job),
        step=job.done_steps,
        steps=job.total_steps,
        progress=progress,
        seconds_left=service.queue.seconds_left(job),
        waking_seconds=None
        if job.waking_until is None
        else math.ceil(max(job.waking_until - time.monotonic(), 0.0)),
        created=job.created,
        request=RequestDocument(
            prompt=first.prompt,
            negative_prompt=first.negative_prompt,
            steps=first.num_steps,
            guidance_scale=first.guidance_scale,
            seed=first.seed,
            count=len(job.asked.requests),
            width=limits.image_size,
            height=limits.image_size,
        ),
        notes=notes.of(job, limits),
        pictures=[
            _picture(f"{path_of(job)}/pictures/{number}", drawn)
            for number, drawn in enumerate(job.pictures)
        ],
        preview=PreviewDocument(url=f"{path_of(job)}/preview", version=job.preview.number)
        if job.preview
        else None,
        error=Error(
            code=job.problem.reason.value,
            message=job.problem.message,
            retry_after_seconds=job.problem.retry_after_seconds,
        )
        if job.problem
        else None,
    )


def _picture(url: str, drawn: Drawn) -> PictureDocument:
    answer = drawn.answer
    return PictureDocument(
        url=url,
        seed=answer.seed,
        steps=answer.num_steps,
        prompt_tokens=answer.prompt_tokens,
        truncated=answer.truncated,
        negative_prompt_tokens=answer.negative_prompt_tokens,
        negative_prompt_truncated=answer.negative_prompt_truncated,
        fingerprint=answer.fingerprint,
        seconds=drawn.seconds,
    )


def capabilities(service: Service) -> CapabilitiesDocument:
    served, options = service.models.served, service.options
    model, limits = served.description, served.limits
    in_chunks = model is not None and model.draws_in_chunks
    return CapabilitiesDocument(
        version=VERSION,
        model=ModelDocument(
            family=model.family,
            fingerprint=model.fingerprint,
            profile=model.profile,
            precision=model.precision,
            samplers=list(model.samplers),
            licence=model.licence,
            licence_url=duties(model.licence).url,
            licence_text=duties(model.licence).text,
            signatures=list(model.signatures),
        )
        if model
        else None,
        limits=LimitsDocument(
            min_steps=limits.min_steps,
            max_steps=limits.max_steps,
            max_prompt_bytes=limits.max_prompt_bytes,
            max_prompt_tokens=limits.max_prompt_tokens,
            max_guidance_scale=limits.max_guidance_scale,
            image_size=limits.image_size,
            default_steps=limits.default_steps,
            default_guidance_scale=limits.default_guidance_scale,
            default_negative_prompt=limits.default_negative_prompt,
            max_count=options.max_count,
            max_cost=options.max_cost,
            queue=options.queue,
            deadline_seconds=options.deadline_seconds,
        ),
        progress="real" if in_chunks else "estimated",
        previews=in_chunks,
        formats=[file_format.value for file_format in Format],
        apis=[api.value for api in Api],
    )


def status(service: Service, uptime_seconds: float) -> StatusDocument:
    queue, models = service.queue, service.models
    return StatusDocument(
        state="draining" if queue.is_draining else models.state.value,
        model_servers=[
            ModelServerDocument(
                endpoint=server.endpoint,
                state=server.state.value,
                fingerprint=server.fingerprint,
                seconds_per_step=server.seconds_per_step,
                busy=server.is_busy,
            )
            for server in models.servers
        ],
        queued=queue.queued,
        drawing=queue.drawing,
        uptime_seconds=uptime_seconds,
    )
