"""A job on its way: which picture it is at, and what that has taken."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from prediction.answer import Answer
from prediction.limits import PictureRequest
from web.jobs.estimates import Estimate, Estimates
from web.jobs.job import Drawn, Job, Preview
from web.jobs.server import Server
from web.metrics import Metrics


class ModelChangedError(Exception):
    """The model that came back does not take what the job asks for; the message says why."""


class Drawing(ABC):
    """A job that waits or is drawn. It outlives its server: `draw_on` goes on where it was.

    losses: how often it has lost its server.
    """

    def __init__(self, job: Job, estimates: Estimates, metrics: Metrics) -> None:
        self.job = job
        self.losses = 0
        self.server: Server | None = None
        """The one that draws it."""
        self._estimates = estimates
        self._metrics = metrics
        self._number = 0

    async def draw_on(self, server: Server) -> None:
        """Until the last picture, or until the job is stopped. Raises ClientError, RefusedError
        and ModelChangedError."""
        self.server = server
        try:
            while self._number < len(self.job.asked.requests) and not self._is_stopped:
                await self._go_on(server)
        finally:
            self.server = None

    @abstractmethod
    async def _go_on(self, server: Any) -> None:
        """Draw the next picture, or several."""

    @abstractmethod
    def _spent_seconds(self, now: float) -> float:
        """What has been done of the picture since its last step that is counted."""

    @abstractmethod
    def _unstoppable_steps(self) -> int:
        """Of the picture that is being drawn, when the job is stopped."""

    def seconds_left(self, estimate: Estimate, now: float) -> float:
        """Until its server is free, by the estimate; not below 0 when that was too low."""
        job = self.job
        steps = job.total_steps - job.done_steps
        pictures = len(job.asked.requests) - self._number
        if self._is_stopped and pictures:
            steps, pictures = self._unstoppable_steps(), 1
        return max(estimate.seconds(steps, pictures) - self._spent_seconds(now), 0.0)

    @property
    def _is_stopped(self) -> bool:
        return self.job.is_cancelled or self.job.state.is_final

    def _end_picture(
        self, answer: Answer | None, request: PictureRequest, seconds: float, *, is_complete: bool
    ) -> None:
        """Go on to the next one. answer: None if there is no picture."""
        if self.job.state.is_final:
            return
        if answer is not None:
            self.job.pictures.append(Drawn(answer, request, seconds, is_complete))
            self._metrics.picture_drawn(self.job.asked.api)
        self._number += 1
        self.job.step, self.job.is_skipped = 0, False
        self.job.touch()

    def _show_step(self, step: int, preview: bytes | None) -> None:
        job = self.job
        if job.state.is_final:
            return
        job.step = step
        if preview is not None:
            job.preview = Preview(preview, job.preview.number + 1 if job.preview else 1)
        job.touch()

    def _learn(self, server: Server, steps: int, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        self._estimates.add_steps(server.fingerprint, steps, seconds, now)
        self._metrics.steps_drawn(steps)
        if server.seconds_per_step is not None:
            self._metrics.set_seconds_per_step(server.endpoint, server.seconds_per_step)
