"""A job's pictures, drawn by a worker: one request, whose answer is followed to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

from prediction.answer import Answer
from prediction.errors import UnreachableError, one_line
from prediction.limits import PictureRequest
from web.front.connection import NotTakenError, WorkerConnection, WorkerGoneError, broken
from web.front.pictures import picture_in, preview_in
from web.front.wakings import SHOWN_AFTER_SECONDS, Wakings
from web.jobs import problems
from web.jobs.drawing import Drawing
from web.jobs.estimates import Estimates
from web.jobs.job import Job
from web.jobs.patience import Patience
from web.jobs.refusals import RETRYABLE, Reason, RefusedError, refused
from web.jobs.server import Server
from web.metrics import Metrics
from web.worker.events import Done, Event, Failed, Picture, Progress, Started

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 5.0
"""Between two requests for a job that no worker has taken."""
GONE_PAUSE_SECONDS = 5.0
"""After a worker that went away with the job, until that counts as one of its losses: another one
may need a moment."""
STOP_CHECK_SECONDS = 3600.0

_PASSING = (RETRYABLE | {Reason.CANCELLED}) - {Reason.TOO_LATE}
"""A worker's reasons that do not count for the next worker."""

log = logging.getLogger(__name__)


class WorkerDrawing(Drawing):
    """A job on its way over workers."""

    def __init__(
        self,
        job: Job,
        connection: WorkerConnection,
        wakings: Wakings,
        estimates: Estimates,
        patience: Patience,
        metrics: Metrics,
    ) -> None:
        super().__init__(job, estimates, metrics)
        self._connection = connection
        self._wakings = wakings
        self._patience = patience
        self._first = 0
        self._requests: tuple[PictureRequest, ...] = ()
        """What is asked of the worker: from this picture of the job on."""
        self._waking: asyncio.TimerHandle | None = None
        self._asked = 0.0
        """When the request was sent first."""
        self._heard = 0.0
        """When the worker took the job, or finished the last steps."""

    async def _go_on(self, server: Server) -> None:
        """As many pictures as one request can have; until the job, or this picture, is stopped."""
        loop = asyncio.get_running_loop()
        self._first = self._number
        self._requests = _consecutive(self.job.asked.requests[self._number :])
        self._asked = self._heard = loop.time()
        self._waking = loop.call_later(SHOWN_AFTER_SECONDS, self._show_waking)
        following = asyncio.create_task(self._follow(server))
        stop = asyncio.create_task(self._wait_for_stop())
        try:
            await asyncio.wait({following, stop}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                await following
        finally:
            self._end_waking()
            for task in (following, stop):
                task.cancel()
            # Only then is the connection closed, which is what stops the worker.
            await asyncio.gather(following, stop, return_exceptions=True)
        if self.job.is_skipped and self._number < len(self.job.asked.requests):
            request = self.job.asked.requests[self._number]
            self._end_picture(None, request, 0.0, is_complete=False)

    def _spent_seconds(self, now: float) -> float:
        if self.job.waking_until is not None:
            return min(now - self.job.waking_until, 0.0)
        return now - self._heard if self.server else 0.0

    def _unstoppable_steps(self) -> int:
        return 0

    async def _wait_for_stop(self) -> None:
        while not (self._is_stopped or self.job.is_skipped):
            await self.job.wait_for_change(self.job.version, STOP_CHECK_SECONDS)

    async def _follow(self, server: Server) -> None:
        """Ask until a worker takes the job, and take what it answers."""
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE_SECONDS
        while True:
            try:
                async with aclosing(self._connection.events(self._body())) as events:
                    async for event in events:
                        self._take(event, server)
                return
            except NotTakenError as error:
                log.info("%s: %s", server.endpoint, error)
                if error.is_lasting and loop.time() - self._asked > self._patience.away_seconds:
                    raise refused(Reason.UNREACHABLE, str(error), problems.RETRY_SECONDS) from None
            except WorkerGoneError as error:
                log.info("%s: %s", server.endpoint, error)
                await asyncio.sleep(GONE_PAUSE_SECONDS)
                raise UnreachableError(str(error)) from None
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _body(self) -> dict[str, object]:
        first = self._requests[0]
        left = self.job.deadline - asyncio.get_running_loop().time()
        return {
            "prompt": first.prompt,
            "negativePrompt": first.negative_prompt,
            "steps": first.num_steps,
            "guidanceScale": first.guidance_scale,
            "seed": first.seed,
            "count": len(self._requests),
            "deadlineSeconds": max(left, 1.0),
        }

    def _take(self, event: Event, server: Server) -> None:
        requests, done = self._requests, self._number - self._first
        match event:
            case Started():
                self._start()
            case Progress() if event.picture == done < len(requests):
                self._progress(event, requests[done], server)
            case Picture() if event.picture == done < len(requests):
                self._picture(event, requests[done], server)
            case Done() if done == len(requests):
                return
            case Failed():
                raise _failure(event)
            case _:
                raise broken("its pictures are not in order")

    def _start(self) -> None:
        now = asyncio.get_running_loop().time()
        waited = now - self._asked
        self._wakings.add(waited)
        self._metrics.worker_began(waited)
        self._heard = now
        self._end_waking()
        self._show_step(0, None)

    def _progress(self, event: Progress, request: PictureRequest, server: Server) -> None:
        done = event.step - self.job.step
        if done < 0 or event.step > request.num_steps:
            raise broken(f"after step {self.job.step} comes step {event.step}")
        if done:
            now = asyncio.get_running_loop().time()
            self._learn(server, done, now - self._heard)
            self._heard = now
            side, preview = self._connection.image_size, event.preview
            self._show_step(event.step, None if preview is None else preview_in(preview, side))

    def _picture(self, event: Picture, request: PictureRequest, server: Server) -> None:
        png = picture_in(event.png, self._connection.image_size)
        answer = _answer(event, png, server.endpoint)
        if (answer.seed, answer.num_steps) != (request.seed, request.num_steps):
            raise broken("a picture is another than was asked for")
        self._end_picture(answer, request, event.seconds, is_complete=True)

    def _show_waking(self) -> None:
        self.job.waking_until = self._asked + self._wakings.expected_seconds
        self.job.touch()

    def _end_waking(self) -> None:
        if self._waking is not None:
            self._waking.cancel()
        self.job.waking_until = None


def _consecutive(requests: Sequence[PictureRequest]) -> tuple[PictureRequest, ...]:
    """Those that follow the first one's seed: all, unless the highest seed is among them."""
    first = requests[0].seed
    return tuple(one for number, one in enumerate(requests) if one.seed == first + number)


def _answer(event: Picture, png: bytes, endpoint: str) -> Answer:
    return Answer(
        png=png,
        seed=event.seed,
        num_steps=event.steps,
        prompt_tokens=event.prompt_tokens,
        truncated=event.truncated,
        fingerprint=one_line(event.fingerprint),
        endpoint=endpoint,
        negative_prompt_tokens=event.negative_prompt_tokens,
        negative_prompt_truncated=event.negative_prompt_truncated,
    )


def _failure(event: Failed) -> UnreachableError | RefusedError:
    """What a worker's failure means for the job."""
    try:
        reason = Reason(event.code)
    except ValueError:
        reason = Reason.FAILED
    message = one_line(event.message)
    if reason in _PASSING:
        return UnreachableError(message)
    return refused(reason, message, event.retry_after_seconds)
