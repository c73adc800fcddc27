"""A job: pictures that somebody asked for together, from the queue to the results."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from prediction.answer import Answer
from prediction.limits import PictureRequest
from web.jobs.refusals import Problem

Owner = str
"""Whose a job is: the name of a key. Where no keys are asked for, a hash of the credential, or ""
for callers without one."""


class Api(StrEnum):
    """Through which API a job came."""

    NATIVE = "native"
    OPENAI = "openai"
    A1111 = "a1111"


class JobState(StrEnum):
    QUEUED = "queued"
    DRAWING = "drawing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    """It was in the queue, and is not drawn: too late, or the service stops."""

    @property
    def is_final(self) -> bool:
        return self not in (JobState.QUEUED, JobState.DRAWING)


@dataclass(frozen=True)
class Asked:
    """A job as it is submitted: checked values, and one request for each picture.

    job_id: the caller's, or "" for one to be drawn. deadline_seconds: from the submission until the
    last picture; None for the service's own. notes: what was mapped or ignored, one line each.
    asked_size: what the caller wrote. keeps_unfinished: whether a picture that is stopped, by a
    cancel or a skip, is wanted as far as it was drawn.
    """

    requests: tuple[PictureRequest, ...]
    api: Api
    owner: Owner = ""
    job_id: str = ""
    deadline_seconds: float | None = None
    notes: tuple[str, ...] = ()
    asked_size: tuple[int, int] | None = None
    keeps_unfinished: bool = False


@dataclass(frozen=True)
class Drawn:
    """A finished picture. answer.png is the model's own file, without text chunks. seconds: how
    long it took to draw. is_complete: false if it was stopped before its last step."""

    answer: Answer
    request: PictureRequest
    seconds: float
    is_complete: bool = True


@dataclass(frozen=True)
class Preview:
    """What the picture that is being drawn looks like: a small PNG."""

    png: bytes
    number: int
    """Counts the job's previews from 1."""


@dataclass(eq=False)
class Job:
    """Changed by the queue and its workers only, which call `touch` after every change.

    created: wall-clock; the other times are those of time.monotonic. step: the done steps of the
    picture that is being drawn.
    """

    id: str
    asked: Asked
    deadline: float
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    submitted: float = field(default_factory=time.monotonic)
    started: float | None = None
    ended: float | None = None
    state: JobState = JobState.QUEUED
    step: int = 0
    pictures: list[Drawn] = field(default_factory=list[Drawn])
    preview: Preview | None = None
    problem: Problem | None = None
    waking_until: float | None = None
    """When a machine is expected to be there that draws it; None if none is waited for."""
    is_cancelled: bool = False
    """Somebody asked for its end; it takes effect at the next chunk."""
    is_skipped: bool = False
    """Likewise for the picture that is being drawn."""
    version: int = 1
    """Grows with every change."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def owner(self) -> Owner:
        return self.asked.owner

    @property
    def total_steps(self) -> int:
        """Over all pictures."""
        return sum(request.num_steps for request in self.asked.requests)

    @property
    def done_steps(self) -> int:
        """Over all pictures, those that were stopped early counted whole."""
        finished = sum(drawn.request.num_steps for drawn in self.pictures)
        return self.total_steps if self.state is JobState.DONE else finished + self.step

    def touch(self) -> None:
        """Wake all who wait for a change."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self, version: int, timeout_seconds: float) -> bool:
        """Whether the version is, or becomes within the time, another than `version`."""
        if self.version != version:
            return True
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._changed.wait()
        except TimeoutError:
            return self.version != version
        return True

    async def wait_for_end(self) -> None:
        """Until the job is in a final state."""
        while not self.state.is_final:
            await self._changed.wait()
