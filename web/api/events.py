"""A job's changes as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from web.api.describing import job_document
from web.jobs.job import Job
from web.service import Service

MEDIA_TYPE = "text/event-stream"
HEADERS = {"x-accel-buffering": "no"}
"""A proxy such as nginx would otherwise keep the events back."""
KEEP_ALIVE_SECONDS = 15.0
PAUSE_SECONDS = 0.25
"""Between two events: nobody sees more than four changes a second."""


async def job_events(
    service: Service, job: Job, keep_alive_seconds: float = KEEP_ALIVE_SECONDS
) -> AsyncIterator[str]:
    """The job as it is, then as it becomes, until it has ended.

    An event is made when its reader takes it, so that a slow one misses some, and nothing piles up.
    """
    while True:
        version, is_final, sent = job.version, job.state.is_final, time.monotonic()
        document = job_document(service, job).model_dump_json(by_alias=True)
        yield f"event: job\nid: {version}\ndata: {document}\n\n"
        if is_final:
            return
        while not await job.wait_for_change(version, keep_alive_seconds):
            yield ": still here\n\n"
        if not job.state.is_final:
            await asyncio.sleep(max(sent + PAUSE_SECONDS - time.monotonic(), 0.0))
