"""A job's changes as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from web.api.describing import job_document
from web.jobs.job import Job
from web.service import Service

MEDIA_TYPE = "text/event-stream"
HEADERS = {"x-accel-buffering": "no"}
"""A proxy such as nginx would otherwise keep the events back."""
KEEP_ALIVE_SECONDS = 15.0
PAUSE_SECONDS = 0.1
"""Between two events: nobody sees more than ten changes a second."""
FRESH_SECONDS = 1.0
"""For so long the seconds that are left may be those of an earlier look."""


@dataclass(frozen=True)
class _Event:
    version: int
    made: float
    text: str


_latest: WeakKeyDictionary[Job, _Event] = WeakKeyDictionary()
"""However many watch a job, each of its versions is put in words once."""


async def job_events(
    service: Service, job: Job, keep_alive_seconds: float = KEEP_ALIVE_SECONDS
) -> AsyncIterator[str]:
    """The job as it is, then as it becomes, until it has ended.

    An event is made when its reader takes it, so that a slow one misses some, and nothing piles up.
    """
    clock = asyncio.get_running_loop().time
    while True:
        version, is_final, sent = job.version, job.state.is_final, clock()
        yield _event(service, job)
        if is_final:
            return
        while not await job.wait_for_change(version, keep_alive_seconds):
            yield ": still here\n\n"
        if not job.state.is_final:
            await asyncio.sleep(max(sent + PAUSE_SECONDS - clock(), 0.0))


def _event(service: Service, job: Job) -> str:
    now, latest = asyncio.get_running_loop().time(), _latest.get(job)
    if latest and latest.version == job.version and now - latest.made < FRESH_SECONDS:
        return latest.text
    document = job_document(service, job).model_dump_json(by_alias=True)
    text = f"event: job\nid: {job.version}\ndata: {document}\n\n"
    _latest[job] = _Event(job.version, now, text)
    return text
