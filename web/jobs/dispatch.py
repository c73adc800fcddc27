"""Which job is drawn where, and what ends it.

Nothing polls: every change calls `go_on`, which gives waiting jobs to idle model servers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from prediction.errors import ClientError, InputRefusedError, RequestTimeoutError
from web.jobs import problems
from web.jobs.drawing import Drawing, ModelChangedError
from web.jobs.estimates import Estimate, ends_of
from web.jobs.job import Job, JobState
from web.jobs.patience import Patience
from web.jobs.refusals import Problem, RefusedError
from web.jobs.server import Server
from web.jobs.servers import Servers

log = logging.getLogger(__name__)

BUSY_SECONDS = 1.0
"""How long a model server is left alone that is full, or still at work on a call that was given
up."""


class Dispatcher:
    """Used in the models' event loop only.

    waiting: those that no model server has begun, in order. lost: those whose model server went
    away; they go first. running: each holds a model server until that has answered, even when the
    job has ended. ended: is told of each job that ends.
    """

    def __init__(
        self,
        models: Servers,
        patience: Patience,
        ended: Callable[[Job], None],
    ) -> None:
        self.waiting: deque[Drawing] = deque()
        self.lost: deque[Drawing] = deque()
        self.running: dict[Drawing, asyncio.Task[None]] = {}
        self.away_since: float | None = None
        """Since when no model server is ready."""
        self._models = models
        self._patience = patience
        self._ended = ended
        self._deadlines: dict[Drawing, asyncio.TimerHandle] = {}
        self._away: asyncio.TimerHandle | None = None
        models.serve(lambda: bool(self.waiting or self.lost), self._models_changed)

    def add(self, drawing: Drawing) -> None:
        loop = asyncio.get_running_loop()
        self._deadlines[drawing] = loop.call_at(drawing.job.deadline, self._too_late, drawing)
        self.waiting.append(drawing)
        if not self._models.ready:
            self._models.wake()
        self.go_on()

    def end(self, drawing: Drawing, state: JobState, why: Problem | None = None) -> None:
        """Nothing happens if the job has ended already."""
        job = drawing.job
        if job.state.is_final:
            return
        for line in (self.waiting, self.lost):
            if drawing in line:
                line.remove(drawing)
                self._show_places()
        self._deadlines.pop(drawing).cancel()
        job.state, job.problem, job.preview = state, why, None
        job.ended = asyncio.get_running_loop().time()
        self._ended(job)
        job.touch()

    def go_on(self) -> None:
        """Give jobs to idle model servers."""
        while (server := self._models.idle()) is not None:
            drawing = self._next()
            if drawing is None:
                break
            server.take()
            self.running[drawing] = asyncio.create_task(self._run(drawing, server))

    def estimate(self) -> Estimate | None:
        """Of the model that is served."""
        return self._models.estimates.of(self._models.fingerprint)

    def free_in_seconds(self, estimate: Estimate) -> list[float]:
        """When each ready model server is free."""
        now = asyncio.get_running_loop().time()
        busy = [drawing.seconds_left(estimate, now) for drawing in self.running]
        return busy + [0.0] * (len(self._models.ready) - len(busy))

    def ends_in_seconds(self, estimate: Estimate, ahead: Sequence[Drawing]) -> list[float]:
        """When each of those that wait is done. Some model server must be ready."""
        now = asyncio.get_running_loop().time()
        durations = [drawing.seconds_left(estimate, now) for drawing in ahead]
        return ends_of(self.free_in_seconds(estimate), durations)

    async def wait_for_ends(self) -> None:
        """Until the jobs that are being drawn have ended. A cancelled one has, even if its model
        server still draws."""
        for drawing in [*self.running, *self.lost]:
            await drawing.job.wait_for_end()

    async def stop(self) -> None:
        """After all jobs have ended: give up the calls that run for them."""
        tasks = list(self.running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._away is not None:
            self._away.cancel()

    def _next(self) -> Drawing | None:
        if self.lost:
            return self.lost.popleft()
        now, estimate = asyncio.get_running_loop().time(), self.estimate()
        while self.waiting:
            drawing = self.waiting[0]
            left = 0.0
            if estimate is not None and estimate.is_sound(now):
                left = drawing.seconds_left(estimate, now)
            if now + left > drawing.job.deadline:
                self._too_late(drawing)
                continue
            self.waiting.popleft()
            drawing.job.state, drawing.job.started = JobState.DRAWING, now
            drawing.job.touch()
            self._show_places()
            return drawing
        return None

    async def _run(self, drawing: Drawing, server: Server) -> None:
        try:
            await drawing.draw_on(server)
            is_cancelled = drawing.job.is_cancelled
            self.end(
                drawing,
                JobState.CANCELLED if is_cancelled else JobState.DONE,
                problems.cancelled() if is_cancelled else None,
            )
        except ClientError as error:
            await self._failed(drawing, server, error)
        except RefusedError as error:
            self.end(drawing, JobState.FAILED, error.problem)
        except ModelChangedError as error:
            self.end(drawing, JobState.FAILED, problems.model_changed(str(error)))
        except Exception:
            log.exception("a job ended by a fault of the service itself")
            self.end(drawing, JobState.FAILED, problems.own_fault())
        finally:
            del self.running[drawing]
            server.release()
            self.go_on()

    async def _failed(self, drawing: Drawing, server: Server, error: ClientError) -> None:
        # Not its message: a model server may quote what it was asked.
        kind = type(error).__name__
        log.warning("model server %s: %s %s", server.endpoint, kind, error.status)
        if isinstance(error, RequestTimeoutError):
            left = drawing.job.deadline - asyncio.get_running_loop().time()
            if left < BUSY_SECONDS / 10:
                self._too_late(drawing)
            # It goes on with the step that it is at, beside which no other job may run.
            self._set_aside(server, max(BUSY_SECONDS, server.seconds_per_step or 0.0))
            self.end(drawing, JobState.FAILED, problems.problem_of(error))
        elif problems.is_busy(error):
            self._set_aside(server, BUSY_SECONDS)
            self._draw_again(drawing)
        elif problems.is_loss(error):
            self._set_aside(server)
            drawing.losses += 1
            if drawing.losses > self._patience.losses:
                self.end(drawing, JobState.FAILED, problems.lost_too_often(drawing.losses))
            self._draw_again(drawing)
        elif isinstance(error, InputRefusedError) and await server.has_changed():
            self._draw_again(drawing)
        else:
            self._set_aside(server)
            self.end(drawing, JobState.FAILED, problems.problem_of(error))

    def _draw_again(self, drawing: Drawing) -> None:
        """As soon as a model server is ready for it."""
        if drawing.job.is_cancelled:
            self.end(drawing, JobState.CANCELLED, problems.cancelled())
        if not drawing.job.state.is_final:
            self.lost.append(drawing)

    def _set_aside(self, server: Server, rest_seconds: float = 0.0) -> None:
        server.set_aside(rest_seconds)
        self._models_changed()

    def _models_changed(self) -> None:
        if self._models.ready:
            self.away_since = None
            if self._away is not None:
                self._away.cancel()
                self._away = None
            self.go_on()
        elif self._away is None and self.away_since is None:
            loop = asyncio.get_running_loop()
            self.away_since = loop.time()
            self._away = loop.call_later(self._patience.away_seconds, self._give_up)

    def _give_up(self) -> None:
        """No model server has been ready for long."""
        self._away, seconds = None, self._patience.away_seconds
        for drawing in list(self.lost):
            self.end(drawing, JobState.FAILED, problems.did_not_come_back(seconds))
        for drawing in list(self.waiting):
            why = problems.away(is_loading=self._models.is_loading, seconds=seconds)
            self.end(drawing, JobState.REFUSED, why)

    def _too_late(self, drawing: Drawing) -> None:
        is_waiting = drawing.job.state is JobState.QUEUED
        limit, estimate = drawing.job.deadline - drawing.job.submitted, self.estimate()
        if self._models.ready:
            seconds = None
            if estimate is not None:
                seconds = self.ends_in_seconds(estimate, self.waiting)[-1] if self.waiting else 0.0
            why = problems.too_late(limit, seconds)
        else:
            why = problems.too_late_without_server(limit, is_loading=self._models.is_loading)
        self.end(drawing, JobState.REFUSED if is_waiting else JobState.FAILED, why)

    def _show_places(self) -> None:
        """They have changed."""
        for drawing in self.waiting:
            drawing.job.touch()
