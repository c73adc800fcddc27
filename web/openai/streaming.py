"""A picture as server-sent events: what it looks like so far, then the picture itself."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from web import notes
from web.jobs.job import Drawn, Job, Preview
from web.openai import answers
from web.openai.answers import Document
from web.openai.errors import error_body, undrawn
from web.openai.image_request import ImageRequest
from web.pictures import formats
from web.service import Service

PARTIAL, COMPLETED, ERROR = "image_generation.partial_image", "image_generation.completed", "error"
KEEP_ALIVE_SECONDS = 15.0
KEEP_ALIVE = ": drawing\n\n"
"""A comment, which readers skip: proxies give up on a connection that stays silent."""


class Partials:
    """Which previews of a picture to send: `count` at most, spread over its steps.

    There may be fewer, since a preview comes only after a chunk of steps.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self.sent = 0
        self._passed = 0
        self._last = 0

    def is_due(self, preview: Preview, step: int, total_steps: int) -> bool:
        """Whether the preview is to be sent; it then counts as sent."""
        passed = min(step * (self._count + 1) // total_steps, self._count)
        if preview.number == self._last or passed <= self._passed:
            return False
        self._passed, self._last = passed, preview.number
        self.sent += 1
        return True


async def events(service: Service, job: Job, asked: ImageRequest) -> AsyncIterator[str]:
    """All events of a job. With several pictures, the partial images of each come before it, and
    their index begins at 0 again. An error is the last event: the status was sent long before.
    """
    partials = Partials(asked.partial_images or 0)
    completed = 0
    yield KEEP_ALIVE
    while True:
        version, is_final = job.version, job.state.is_final
        for drawn in job.pictures[completed:]:
            completed += 1
            partials = Partials(asked.partial_images or 0)
            yield _event(COMPLETED, await _completed(service, job, drawn, asked))
        if is_final:
            break
        if job.preview:
            index, steps = partials.sent, job.asked.requests[0].num_steps  # all have as many
            if partials.is_due(job.preview, job.step, steps):
                side = service.models.served.limits.image_size
                yield _event(PARTIAL, await _partial(job.preview, index, (side, side), asked))
        if not await job.wait_for_change(version, KEEP_ALIVE_SECONDS):
            yield KEEP_ALIVE
    if job.problem is not None:
        yield _event(ERROR, error_body(undrawn(job.problem).fault))


async def _completed(service: Service, job: Job, drawn: Drawn, asked: ImageRequest) -> Document:
    served = service.models.served
    return {
        **_about(COMPLETED, answers.size_of(drawn), asked),
        "b64_json": await answers.base64_file(drawn, asked, served),
        "usage": answers.NO_USAGE,
        "seed": drawn.answer.seed,
        "notes": notes.of(job, served.limits),
    }


async def _partial(
    preview: Preview, index: int, size: tuple[int, int], asked: ImageRequest
) -> Document:
    file = await asyncio.to_thread(
        formats.enlarged, preview.png, size, asked.file_format, asked.quality
    )
    return {
        **_about(PARTIAL, answers.as_size(size), asked),
        "b64_json": answers.encoded(file),
        "partial_image_index": index,
    }


def _about(kind: str, size: str, asked: ImageRequest) -> Document:
    return {
        "type": kind,
        "created_at": int(time.time()),
        "size": size,
        "quality": "auto",
        "background": answers.BACKGROUND,
        "output_format": asked.file_format.value,
    }


def _event(name: str, document: Document) -> str:
    return f"event: {name}\ndata: {json.dumps(document)}\n\n"
