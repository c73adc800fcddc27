"""Progress as AUTOMATIC1111 says it: of the caller's own jobs, never of another's."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from prediction.description import Served
from web.a1111.txt2img_answer import TIMESTAMP, true_size
from web.jobs.job import Api, Job, JobState, Owner, Preview
from web.jobs.queue import JobQueue
from web.pictures.formats import Format, data_uri, enlarged

Document = dict[str, Any]

LEAST_PROGRESS, MOST_PROGRESS = 0.01, 0.99
"""Of a job that is being drawn: clients take 0 for idle, and 1 for done."""

KIND = "scripts_txt2img"
"""What A1111 calls a job that came by its API."""

IDLE_STATE: Document = {
    "skipped": False,
    "interrupted": False,
    "stopping_generation": False,
    "job": "",
    "job_count": 0,
    "job_timestamp": "0",
    "job_no": 0,
    "sampling_step": 0,
    "sampling_steps": 0,
}


def jobs_of(queue: JobQueue, owner: Owner, state: JobState) -> list[Job]:
    """The owner's jobs in a state that came by this API, the oldest first."""
    return [
        job
        for job in reversed(queue.jobs(owner))
        if job.state is state and job.asked.api is Api.A1111
    ]


def current(queue: JobQueue, owner: Owner) -> Job | None:
    """The owner's job that is being drawn, else the next one."""
    for state in (JobState.DRAWING, JobState.QUEUED):
        for job in jobs_of(queue, owner, state):
            return job
    return None


def stoppable(queue: JobQueue, owner: Owner) -> list[Job]:
    """What an interrupt means: what is being drawn, else what waits."""
    return jobs_of(queue, owner, JobState.DRAWING) or jobs_of(queue, owner, JobState.QUEUED)


async def progress(
    job: Job | None, queue: JobQueue, served: Served, *, with_image: bool
) -> Document:
    """The answer to `GET /sdapi/v1/progress`."""
    if job is None:
        return _document(0.0, 0.0, _state(None))
    image = await _preview(job, served) if with_image else None
    return {
        **_document(share_done(job), queue.seconds_left(job) or 0.0, _state(job)),
        "current_image": None if image is None else base64.b64encode(image).decode(),
    }


async def task_progress(
    job: Job | None, queue: JobQueue, served: Served, *, known_preview: int, with_image: bool
) -> Document:
    """The answer to `POST /internal/progress`. known_preview: the last one that the caller got."""
    is_active = job is not None and job.state is JobState.DRAWING
    is_queued = job is not None and job.state is JobState.QUEUED
    document: Document = {
        "active": is_active,
        "queued": is_queued,
        "completed": job is not None and job.state.is_final,
        "progress": None,
        "eta": None,
        "live_preview": None,
        "id_live_preview": known_preview,
        "textinfo": None if is_active else "Waiting...",
    }
    if job is None or job.state.is_final:
        return document
    if is_queued:
        return document | {"textinfo": f"In queue: {queue.place(job)}/{queue.queued}"}
    document |= {"progress": share_done(job), "eta": queue.seconds_left(job)}
    preview = job.preview
    if with_image and preview is not None and preview.number != known_preview:
        file = await _enlarged(preview, true_size(job, served))
        document |= {
            "live_preview": data_uri(file, Format.PNG),
            "id_live_preview": preview.number,
        }
    return document


def share_done(job: Job) -> float:
    if job.state is not JobState.DRAWING:
        return 0.0
    return min(max(job.done_steps / job.total_steps, LEAST_PROGRESS), MOST_PROGRESS)


def _document(share: float, seconds_left: float, state: Document) -> Document:
    return {
        "progress": share,
        "eta_relative": seconds_left,
        "state": state,
        "current_image": None,
        "textinfo": None,
    }


def _state(job: Job | None) -> Document:
    if job is None:
        return dict(IDLE_STATE)
    requests, number = job.asked.requests, len(job.pictures)
    return {
        **IDLE_STATE,
        "skipped": job.is_skipped,
        "interrupted": job.is_cancelled,
        "job": KIND,
        "job_count": len(requests),
        "job_timestamp": job.created.astimezone().strftime(TIMESTAMP),
        "job_no": number,
        "sampling_step": job.step,
        "sampling_steps": requests[min(number, len(requests) - 1)].num_steps,
    }


async def _preview(job: Job, served: Served) -> bytes | None:
    return await _enlarged(job.preview, true_size(job, served)) if job.preview else None


async def _enlarged(preview: Preview, size: tuple[int, int]) -> bytes:
    """In a thread: clients ask every half second, and others wait for the event loop."""
    return await asyncio.to_thread(enlarged, preview.png, size)
