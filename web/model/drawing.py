"""A job's pictures, drawn on a model server: in chunks where the model can, else whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from prediction.answer import Answer, Begun
from prediction.errors import InputRefusedError, UnexpectedAnswerError
from prediction.limits import PictureRequest
from web.jobs.drawing import Drawing, ModelChangedError
from web.jobs.estimates import Estimates
from web.jobs.job import Job
from web.jobs.patience import Patience
from web.metrics import Metrics
from web.model.chunks import steps_of_a_chunk
from web.model.server import ModelServer

T = TypeVar("T")


class ModelDrawing(Drawing):
    """A job on its way over model servers."""

    def __init__(
        self, job: Job, estimates: Estimates, patience: Patience, metrics: Metrics
    ) -> None:
        super().__init__(job, estimates, metrics)
        self._patience = patience
        self._begun: Begun | None = None
        self._state = b""
        self._seconds = 0.0
        """What the picture has taken so far."""
        self._begin_seconds = 0.0
        self._called = 0.0

    async def _go_on(self, server: ModelServer) -> None:
        request = self.job.asked.requests[self._number]
        try:
            server.limits.check(request)
        except InputRefusedError as error:
            raise ModelChangedError(str(error)) from None
        if server.draws_in_chunks:
            answer, is_complete = await self._draw_in_chunks(server, request)
        else:
            answer, is_complete = await self._draw_whole(server, request), True
        self._end_picture(answer, request, self._seconds, is_complete=is_complete)
        self._begun, self._seconds = None, 0.0

    def _spent_seconds(self, now: float) -> float:
        spent = now - self._called if self.server else 0.0
        return spent + self._begin_seconds if self._begun is not None else spent

    def _unstoppable_steps(self) -> int:
        """A chunk, which is short, or a whole picture."""
        is_whole = self.server is not None and not self.server.keeps_unfinished
        return self.job.asked.requests[self._number].num_steps if is_whole else 0

    async def _draw_in_chunks(
        self, server: ModelServer, request: PictureRequest
    ) -> tuple[Answer | None, bool]:
        """The picture, and whether it is complete; None if it was stopped and is not wanted."""
        begun = await self._begin(server, request)
        job = self.job
        while job.step < request.num_steps and not (self._is_stopped or job.is_skipped):
            await self._advance(server, begun, request.num_steps)
        is_complete = job.step == request.num_steps
        is_wanted = is_complete or (job.asked.keeps_unfinished and job.step > 0)
        if job.state.is_final or not is_wanted:
            return None, False
        finish = server.transport.finish(self._state, self._fixed_limit(server))
        png, seconds = await self._timed(finish)
        self._estimates.add_fixed(server.fingerprint, self._begin_seconds + seconds)
        return begun.answer(png, server.endpoint), is_complete

    async def _begin(self, server: ModelServer, request: PictureRequest) -> Begun:
        """From the state that the picture has reached, if it is this model's."""
        if self._begun is not None and self._begun.fingerprint == server.fingerprint:
            return self._begun
        self.job.step, self._seconds = 0, 0.0
        begin = server.transport.begin(request, self._fixed_limit(server))
        begun, self._begin_seconds = await self._timed(begin)
        if begun.fingerprint != server.fingerprint:
            await server.read_description()
        self._begun, self._state = begun, begun.state
        return begun

    async def _advance(self, server: ModelServer, begun: Begun, num_steps: int) -> None:
        job = self.job
        per_step = server.seconds_per_step
        steps = steps_of_a_chunk(per_step, num_steps, num_steps - job.step)
        limit = self._patience.call_seconds(per_step and per_step * steps)
        advance = server.transport.advance(self._state, begun.context, steps, limit)
        advanced, seconds = await self._timed(advance)
        done = advanced.step - job.step
        if done < 1 or advanced.step > num_steps:
            raise UnexpectedAnswerError(
                f"{server.endpoint} answered a request for {steps} steps after step {job.step} "
                f"with step {advanced.step}: check that this project's model is served there"
            )
        self._state = advanced.state
        self._learn(server, done, seconds)
        self._show_step(advanced.step, advanced.preview)

    async def _draw_whole(self, server: ModelServer, request: PictureRequest) -> Answer:
        """A model server stops at a call's time limit, so that this is the job's deadline."""
        loop, per_step = asyncio.get_running_loop(), server.seconds_per_step
        limit = max(self.job.deadline - loop.time(), 0.001)
        if per_step is not None:
            limit = min(limit, self._patience.call_seconds(per_step * request.num_steps))
        self.job.step, self._seconds, self._begun = 0, 0.0, None
        guess = asyncio.create_task(self._guess_steps(per_step, request.num_steps))
        try:
            answer, seconds = await self._timed(server.transport.predict(request, limit))
        finally:
            guess.cancel()
        self._learn(server, request.num_steps, seconds)
        return answer

    async def _guess_steps(self, seconds_per_step: float | None, num_steps: int) -> None:
        """Progress by the clock. It stays before the last step: only the picture ends that."""
        if seconds_per_step is None:
            return
        for step in range(1, num_steps):
            await asyncio.sleep(seconds_per_step)
            self._show_step(step, None)

    def _fixed_limit(self, server: ModelServer) -> float:
        estimate = self._estimates.of(server.fingerprint)
        return self._patience.call_seconds((estimate and estimate.fixed_seconds) or None)

    async def _timed(self, call: Awaitable[T]) -> tuple[T, float]:
        loop = asyncio.get_running_loop()
        self._called = loop.time()
        answer = await call
        seconds = loop.time() - self._called
        self._seconds += seconds
        return answer, seconds
