"""The lines of a worker's answer, each a JSON object: `started`, then the others as they come, then
`done` or `failed`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from web.api.documents import Document

Count = Annotated[int, Field(ge=0, lt=2**31)]

MEDIA_TYPE = "application/x-ndjson"


class Started(Document):
    """The worker has taken the job. fingerprint: the model's."""

    type: Literal["started"] = "started"
    fingerprint: str


class Progress(Document):
    """Of the picture with this number, which counts from 0. preview: a small PNG in base64, in the
    first line that has it. Repeated without a change, it says that the worker is still there."""

    type: Literal["progress"] = "progress"
    picture: int
    step: Count
    steps: Count
    preview: str | None = None


class Picture(Document):
    """A finished picture. png: the model's own file in base64, without text chunks."""

    type: Literal["picture"] = "picture"
    picture: int
    png: str
    seed: int
    steps: Count
    prompt_tokens: Count
    truncated: bool
    negative_prompt_tokens: Count
    negative_prompt_truncated: bool
    fingerprint: str
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Done(Document):
    """All pictures are drawn."""

    type: Literal["done"] = "done"


class Failed(Document):
    """The job has ended without all of its pictures. code, message: those of an error of the own
    API."""

    type: Literal["failed"] = "failed"
    code: str
    message: str
    retry_after_seconds: int | None = None


Event = Started | Progress | Picture | Done | Failed

_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


def line_of(event: Event) -> str:
    return f"{event.model_dump_json(by_alias=True)}\n"


def event_in(line: bytes) -> Event:
    """Raises pydantic's ValidationError."""
    return _EVENT.validate_json(line)
