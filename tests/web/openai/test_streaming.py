"""The events of a job, which the tests drive by hand."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PIL import Image

from prediction.answer import Answer
from prediction.description import Served
from prediction.limits import Limits, PictureRequest
from web.jobs.job import Api, Asked, Drawn, Job, JobState, Preview
from web.jobs.refusals import Reason, problem
from web.openai import streaming
from web.openai.image_request import ImageRequest
from web.openai.streaming import Partials
from web.service import Service

STEPS = 20
SIDE = 64
LIMIT_SECONDS = 10.0


def png(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(file, "PNG")
    return file.getvalue()


class Stream:
    """The events of a job of `count` pictures. `next_event` waits for one."""

    def __init__(self, count: int = 1, notes: tuple[str, ...] = (), **fields: Any) -> None:
        requests = tuple(
            PictureRequest("a red circle", "", STEPS, 7.5, 7 + n) for n in range(count)
        )
        self.job = Job("1", Asked(requests, Api.OPENAI, notes=notes), deadline=0.0)
        self.job.state = JobState.DRAWING
        served = Served(Limits(image_size=SIDE))
        service = cast(Service, SimpleNamespace(models=SimpleNamespace(served=served)))
        asked = ImageRequest(prompt="a red circle", stream=True, **fields)
        self._text: AsyncIterator[str] = streaming.events(service, self.job, asked)

    async def next_text(self) -> str:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await anext(self._text, "")

    async def next_event(self) -> dict[str, Any]:
        """The next that is no comment; empty at the end."""
        while (text := await self.next_text()).startswith(":"):
            assert text.endswith("\n\n")
        if not text:
            return {}
        event, data, *rest = text.split("\n")
        assert rest == ["", ""]
        name, document = event.removeprefix("event: "), json.loads(data.removeprefix("data: "))
        assert document.get("type", "error") == name
        return document

    def preview(self, step: int) -> None:
        number = self.job.preview.number + 1 if self.job.preview else 1
        self.job.step, self.job.preview = step, Preview(png(8), number)
        self.job.touch()

    def draw(self) -> None:
        seed = 7 + len(self.job.pictures)
        answer = Answer(png(SIDE), seed, STEPS, 5, False, "f00d")
        request = self.job.asked.requests[len(self.job.pictures)]
        self.job.pictures.append(Drawn(answer, request, 0.1))
        self.job.step = 0
        self.job.touch()

    def end(self, state: JobState = JobState.DONE) -> None:
        self.job.state = state
        self.job.touch()


def image_in(event: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(event["b64_json"])))


def test_partial_images_come_before_the_picture_in_its_size() -> None:
    async def run() -> None:
        stream = Stream(partial_images=2)
        stream.preview(8)
        first = await stream.next_event()
        stream.preview(16)
        second = await stream.next_event()
        stream.draw()
        stream.end()
        last = await stream.next_event()
        assert [first["type"], second["type"]] == ["image_generation.partial_image"] * 2
        assert [first["partial_image_index"], second["partial_image_index"]] == [0, 1]
        assert last["type"] == "image_generation.completed"
        assert await stream.next_event() == {}
        for event in (first, second, last):
            assert event["size"] == f"{SIDE}x{SIDE}"
            assert image_in(event).size == (SIDE, SIDE)
            assert (event["output_format"], event["background"]) == ("png", "opaque")
            assert event["quality"] == "auto"
            assert isinstance(event["created_at"], int)

    asyncio.run(run())


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_partial_images_have_the_pictures_format(output_format: str) -> None:
    async def run() -> None:
        stream = Stream(partial_images=1, output_format=output_format)
        stream.preview(15)
        partial = await stream.next_event()
        stream.draw()
        completed = await stream.next_event()
        for event in (partial, completed):
            assert event["output_format"] == output_format
            assert image_in(event).format == output_format.upper()

    asyncio.run(run())


@pytest.mark.parametrize("count", [None, 0])
def test_without_partial_images_only_the_picture_comes(count: int | None) -> None:
    async def run() -> None:
        stream = Stream(partial_images=count)
        stream.preview(10)
        assert (await stream.next_text()).startswith(":")
        stream.draw()
        stream.end()
        assert (await stream.next_event())["type"] == "image_generation.completed"
        assert await stream.next_event() == {}

    asyncio.run(run())


def test_a_model_without_previews_gives_only_the_picture() -> None:
    async def run() -> None:
        stream = Stream(partial_images=3)
        stream.job.step = 10
        stream.job.touch()
        assert (await stream.next_text()).startswith(":")
        stream.draw()
        stream.end()
        assert (await stream.next_event())["type"] == "image_generation.completed"
        assert await stream.next_event() == {}

    asyncio.run(run())


def test_each_of_several_pictures_comes_when_it_is_drawn_after_its_own_partial_images() -> None:
    async def run() -> None:
        stream = Stream(count=2, partial_images=1)
        seen: list[tuple[Any, ...]] = []
        for _ in range(2):
            stream.preview(12)
            partial = await stream.next_event()
            stream.draw()
            completed = await stream.next_event()
            seen.append((partial["partial_image_index"], completed["seed"]))
        stream.end()
        assert seen == [(0, 7), (0, 8)]
        assert await stream.next_event() == {}

    asyncio.run(run())


def test_a_slow_reader_gets_every_picture() -> None:
    async def run() -> None:
        stream = Stream(count=3, partial_images=3)
        for _ in range(3):
            stream.preview(10)
            stream.draw()
        stream.end()
        events = [await stream.next_event() for _ in range(3)]
        assert [event["seed"] for event in events] == [7, 8, 9]
        assert await stream.next_event() == {}

    asyncio.run(run())


def test_an_error_after_the_start_is_the_last_event_and_has_openais_shape() -> None:
    async def run() -> None:
        stream = Stream(count=2)
        stream.draw()
        assert (await stream.next_event())["type"] == "image_generation.completed"
        stream.job.problem = problem(Reason.LOST, "the model server went away: try again")
        stream.end(JobState.FAILED)
        assert await stream.next_event() == {
            "error": {
                "message": "the model server went away: try again",
                "type": "server_error",
                "param": None,
                "code": "model_server_lost",
            }
        }
        assert await stream.next_event() == {}

    asyncio.run(run())


def test_the_last_event_says_what_was_mapped() -> None:
    async def run() -> None:
        stream = Stream(notes=("drawn at 64x64",))
        stream.draw()
        assert (await stream.next_event())["notes"] == ["drawn at 64x64"]

    asyncio.run(run())


def test_a_comment_comes_at_once_and_whenever_nothing_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming, "KEEP_ALIVE_SECONDS", 0.01)

    async def run() -> None:
        stream = Stream()
        for _ in range(3):
            assert (await stream.next_text()).startswith(":")

    asyncio.run(run())


def due_steps(count: int, total: int, chunk: int) -> list[int]:
    partials = Partials(count)
    steps = [*range(chunk, total, chunk), total]
    previews = [Preview(b"", number + 1) for number in range(len(steps))]
    return [
        step
        for step, preview in zip(steps, previews, strict=True)
        if partials.is_due(preview, step, total)
    ]


@pytest.mark.parametrize(
    ("count", "chunk", "due"),
    [(1, 1, [10]), (2, 1, [7, 14]), (3, 1, [5, 10, 15]), (3, 4, [8, 12, 16]), (2, 7, [7, 14])],
)
def test_partial_images_are_spread_over_the_drawing(count: int, chunk: int, due: list[int]) -> None:
    assert due_steps(count, STEPS, chunk) == due


def test_a_model_that_draws_in_one_chunk_gives_one_partial_image() -> None:
    assert due_steps(3, STEPS, STEPS) == [STEPS]


@pytest.mark.parametrize("total", [1, 2, 3, 5, 50])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_there_are_never_more_partial_images_than_asked_for(count: int, total: int) -> None:
    assert len(due_steps(count, total, 1)) == min(count, total)


def test_a_preview_is_sent_once() -> None:
    partials = Partials(3)
    preview = Preview(b"", 1)
    assert partials.is_due(preview, 10, STEPS)
    assert not partials.is_due(preview, 20, STEPS)
