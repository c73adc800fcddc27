"""One model server: whether it is ready, what it serves, and whether it draws."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from prediction.answer import Advanced, Answer, Begun
from prediction.description import Answers, Served, judge
from prediction.errors import ClientError, QueueFullError, RequestTimeoutError
from prediction.limits import Limits, PictureRequest
from prediction.model_status import STATUS_TIMEOUT_SECONDS, ModelState, ModelStatus
from web.jobs.estimates import Estimates
from web.jobs.server import Server, ServerState

log = logging.getLogger(__name__)


class Transport(Protocol):
    """What is asked of a model server; AsyncGrpcTransport's part of it."""

    async def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer: ...
    async def begin(self, request: PictureRequest, timeout_seconds: float) -> Begun: ...
    async def advance(
        self, state: bytes, context: bytes, steps: int, timeout_seconds: float
    ) -> Advanced: ...
    async def finish(self, state: bytes, timeout_seconds: float) -> bytes: ...
    async def describe(self, timeout_seconds: float) -> Answers: ...
    async def model_status(self, timeout_seconds: float = ...) -> ModelStatus: ...
    async def wait_for_loss(self) -> None: ...
    async def close(self) -> None: ...


@dataclass(frozen=True)
class Checks:
    """Seconds between two checks of a server.

    first, longest: of one that is not ready, while there is something to draw; else idle. ready: of
    one that is ready and has nothing to draw. It is also checked when its connection is lost.
    """

    first_seconds: float = 0.2
    longest_seconds: float = 2.0
    idle_seconds: float = 5.0
    ready_seconds: float = 60.0


class ModelServer(Server):
    """One model server."""

    def __init__(self, endpoint: str, transport: Transport, estimates: Estimates) -> None:
        super().__init__(endpoint, estimates)
        self.transport = transport
        self.served: Served | None = None
        """What it served last."""
        self._version = ""
        self._rests_until = 0.0
        self._times_set_aside = 0
        self._woken = asyncio.Event()
        self.was_checked = asyncio.Event()
        """Set once it was asked, whatever it said."""
        self._logged: tuple[ServerState, str] | None = None

    @property
    def fingerprint(self) -> str:
        described = self.served and self.served.description
        return described.fingerprint if described else ""

    @property
    def draws_in_chunks(self) -> bool:
        described = self.served and self.served.description
        return described is not None and described.draws_in_chunks

    @property
    def keeps_unfinished(self) -> bool:
        return self.draws_in_chunks

    @property
    def limits(self) -> Limits:
        return self.served.limits if self.served else Limits()

    def set_aside(self, rest_seconds: float = 0.0) -> None:
        self.state = ServerState.UNREACHABLE
        self._times_set_aside += 1
        self._rests_until = asyncio.get_running_loop().time() + rest_seconds
        self.wake()

    def wake(self) -> None:
        """Have it checked at once."""
        self._woken.set()

    async def check(self) -> None:
        """Ask whether it is ready, and what it serves if that may have changed."""
        times_set_aside = self._times_set_aside
        try:
            state, why = await self._asked_state(), ""
        except ClientError as error:
            state, why = ServerState.UNREACHABLE, str(error)
        except Exception:
            # Nobody else would ever look for it again.
            log.exception("asking %s for its state failed", self.endpoint)
            state, why = ServerState.UNREACHABLE, "a fault of the service itself"
        # An answer from before it was set aside says nothing about it since.
        if times_set_aside == self._times_set_aside:
            self.state = state
        self.was_checked.set()
        if (state, why) != self._logged:
            self._logged = state, why
            log.info("model server %s: %s%s", self.endpoint, state, why and f" ({why})")

    async def _asked_state(self) -> ServerState:
        """Raises ClientError."""
        status = await self.transport.model_status()
        if status.state is ModelState.LOADING:
            return ServerState.LOADING
        if status.state is not ModelState.READY:
            return ServerState.UNREACHABLE
        if self.state is not ServerState.READY or status.version != self._version:
            await self.read_description()
            self._version = status.version
        return ServerState.READY

    async def read_description(self) -> None:
        """What it serves. Raises ClientError."""
        try:
            answers = await self.transport.describe(STATUS_TIMEOUT_SECONDS)
            self.served = judge(answers, Limits())
        except (QueueFullError, RequestTimeoutError):
            # Somebody else's pictures keep it busy: it is most probably the model that it was.
            if self.served is None:
                raise

    async def has_changed(self) -> bool:
        before = self.served
        try:
            await self.read_description()
        except ClientError:
            return False
        return self.served != before

    async def watch(self, is_wanted: Callable[[], bool], changed: Callable[[], None]) -> None:
        """Check it for ever. changed: is called when its state has changed."""
        checks, loop = Checks(), asyncio.get_running_loop()
        pause = checks.first_seconds
        while True:
            await asyncio.sleep(max(self._rests_until - loop.time(), 0.0))
            self._woken.clear()
            # One that draws is left alone: its next answer, or its silence, says how it is.
            if not self.is_busy or self.state is not ServerState.READY:
                before = self.state, self.served
                await self.check()
                if (self.state, self.served) != before:
                    self._tell(changed)
            if self.state is ServerState.READY:
                pause = checks.first_seconds
                await self._wait(checks.ready_seconds, self._loss)
            elif is_wanted():
                await self._wait(pause)
                pause = min(pause * 2, checks.longest_seconds)
            else:
                pause = checks.first_seconds
                await self._wait(checks.idle_seconds)

    def _tell(self, changed: Callable[[], None]) -> None:
        try:
            changed()
        except Exception:
            # As in `check`: the watch must go on.
            log.exception("a change of %s was not passed on", self.endpoint)

    async def _loss(self) -> None:
        await self.transport.wait_for_loss()
        # There may be none while a call is still about to make one.
        await asyncio.sleep(Checks.first_seconds)

    async def _wait(
        self, seconds: float, until: Callable[[], Coroutine[Any, Any, None]] | None = None
    ) -> None:
        """So long, until it is woken, or `until` ends."""
        ends: list[asyncio.Task[Any]] = [asyncio.create_task(self._woken.wait())]
        if until is not None:
            ends.append(asyncio.create_task(until()))
        try:
            await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
