"""Workers for virtual time: they answer by the event loop's clock, without a connection."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from prediction.description import Served, read
from prediction.limits import Limits, PictureRequest
from tests.web.stub_model_server import Behaviour, description_of, picture_of
from web.front.files import WorkerKey
from web.front.workers import Workers
from web.jobs.patience import Patience
from web.jobs.queue import JobQueue
from web.metrics import Metrics
from web.worker.events import MEDIA_TYPE, Done, Event, Picture, Progress, Started, line_of

HEADERS = {"content-type": MEDIA_TYPE}
SIZE = 8
Odd = int | Exception | httpx.Response | list[str | bytes | float]
"""What a worker does instead of drawing: answers a status, fails, or sends these pieces; a number
among them is a pause."""


class FakeWorkers(httpx.AsyncBaseTransport):
    """odd: what comes of the next requests, in this order. asked: all bodies, hung_up: those whose
    answers were not read to their end."""

    def __init__(self, **behaviour: Any) -> None:
        self.behaviour = Behaviour(**{"seconds_per_step": 1.0, "image_size": SIZE, **behaviour})
        self.waking_seconds = 0.0
        self.odd: list[Odd] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.hung_up = 0

    @property
    def served(self) -> Served:
        description = read(json.dumps(description_of(self.behaviour)), Limits())
        return Served(description.limits, description)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(await request.aread())
        self.asked.append(asked)
        self.keys.append(request.headers.get("authorization"))
        odd = self.odd.pop(0) if self.odd else None
        if isinstance(odd, Exception):
            raise odd
        if isinstance(odd, int):
            odd = httpx.Response(odd)
        if isinstance(odd, httpx.Response):
            # Not read yet, as one that comes over a connection.
            stream = httpx.ByteStream(odd.content)
            return httpx.Response(odd.status_code, headers=odd.headers, stream=stream)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.waking_seconds)
        except asyncio.CancelledError:
            self._closed(is_complete=False)
            raise
        pieces = self._drawn(asked) if odd is None else _sent(odd)
        return httpx.Response(200, headers=HEADERS, stream=_Answer(self, pieces))

    def _closed(self, *, is_complete: bool) -> None:
        self.in_flight -= 1
        self.hung_up += not is_complete

    async def _drawn(self, asked: dict[str, Any]) -> AsyncGenerator[bytes]:
        yield line(Started(fingerprint="stub-1"))
        for number, request in enumerate(requests_in(asked)):
            for step in range(1, request.num_steps + 1):
                await asyncio.sleep(self.behaviour.seconds_per_step)
                yield line(progress(step, request.num_steps, picture=number))
            yield line(picture(request, number))
        yield line(Done())


class _Answer(httpx.AsyncByteStream):
    def __init__(self, workers: FakeWorkers, pieces: AsyncGenerator[bytes]) -> None:
        self._workers = workers
        self._pieces = pieces
        self._is_complete = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            yield piece
        self._is_complete = True

    async def aclose(self) -> None:
        await self._pieces.aclose()
        self._workers._closed(is_complete=self._is_complete)


async def _sent(pieces: list[str | bytes | float]) -> AsyncGenerator[bytes]:
    for piece in pieces:
        match piece:
            case bytes():
                yield piece
            case str():
                yield piece.encode()
            case _:
                await asyncio.sleep(piece)


def requests_in(asked: dict[str, Any]) -> list[PictureRequest]:
    return [
        PictureRequest(
            prompt=asked["prompt"],
            negative_prompt=asked["negativePrompt"],
            num_steps=asked["steps"],
            guidance_scale=asked["guidanceScale"],
            seed=asked["seed"] + number,
        )
        for number in range(asked["count"])
    ]


def line(event: Event) -> bytes:
    return line_of(event).encode()


def progress(step: int, steps: int, *, picture: int = 0) -> Progress:
    return Progress(picture=picture, step=step, steps=steps, preview=encoded(preview(step)))


def preview(step: int) -> bytes:
    return picture_of(PictureRequest("", "", 50, 1.0, 0), step, 8, "preview")


def picture(request: PictureRequest, number: int = 0) -> Picture:
    return Picture(
        picture=number,
        png=encoded(picture_of(request, request.num_steps, SIZE, "stub-1")),
        seed=request.seed,
        steps=request.num_steps,
        prompt_tokens=3,
        truncated=False,
        negative_prompt_tokens=2,
        negative_prompt_truncated=False,
        fingerprint="stub-1",
        seconds=request.num_steps * 1.0,
    )


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


@asynccontextmanager
async def queue_of_a_front(
    fake: FakeWorkers,
    *,
    workers: int = 1,
    deadline_seconds: float = 600.0,
    key_file: Path | None = None,
    patience: Patience | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[JobQueue]:
    """transport: what its requests meet instead of `fake`."""
    key = WorkerKey(str(key_file)) if key_file else None
    models = Workers("http://workers.example", workers, fake.served, key, transport or fake)
    queue = JobQueue(
        models,
        size=100,
        deadline_seconds=deadline_seconds,
        keep_results_seconds=600.0,
        metrics=Metrics(),
        patience=patience,
    )
    try:
        yield queue
    finally:
        await queue.stop()
        await models.stop()
