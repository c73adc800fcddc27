"""The model servers: which are ready, what they serve, and whose turn it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from prediction.answer import Advanced, Answer, Begun
from prediction.description import Answers, Served, judge
from prediction.errors import ClientError, QueueFullError, RequestTimeoutError
from prediction.limits import Limits, PictureRequest
from prediction.model_status import STATUS_TIMEOUT_SECONDS, ModelState, ModelStatus
from prediction.rpc_async import AsyncGrpcTransport
from web.jobs.estimates import Estimates


class ServerState(StrEnum):
    READY = "ready"
    LOADING = "loading"
    UNREACHABLE = "unreachable"


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
    async def close(self) -> None: ...


@dataclass(frozen=True)
class Checks:
    """Seconds between two checks of a server.

    first, longest: of one that is not ready, while there is something to draw. idle: otherwise.
    """

    first_seconds: float = 0.2
    longest_seconds: float = 2.0
    idle_seconds: float = 5.0


class ModelServer:
    """One model server, which draws one job at a time."""

    def __init__(self, endpoint: str, transport: Transport, estimates: Estimates) -> None:
        self.endpoint = endpoint
        self.transport = transport
        self.state = ServerState.UNREACHABLE
        self.served: Served | None = None
        """What it served last."""
        self.is_busy = False
        self.last_used = 0.0
        self._estimates = estimates
        self._busy_seconds = 0.0
        self._version = ""
        self._rests_until = 0.0
        self._times_set_aside = 0
        self._woken = asyncio.Event()

    @property
    def fingerprint(self) -> str:
        """Empty if the model does not say what it is."""
        described = self.served and self.served.description
        return described.fingerprint if described else ""

    @property
    def draws_in_chunks(self) -> bool:
        described = self.served and self.served.description
        return described is not None and described.draws_in_chunks

    @property
    def limits(self) -> Limits:
        return self.served.limits if self.served else Limits()

    @property
    def seconds_per_step(self) -> float | None:
        estimate = self._estimates.of(self.fingerprint)
        return estimate and estimate.seconds_per_step

    @property
    def busy_seconds(self) -> float:
        """How long it has been drawing, since the service started."""
        running = asyncio.get_running_loop().time() - self.last_used if self.is_busy else 0.0
        return self._busy_seconds + running

    def take(self) -> None:
        self.is_busy, self.last_used = True, asyncio.get_running_loop().time()

    def release(self) -> None:
        self._busy_seconds = self.busy_seconds
        self.is_busy, self.last_used = False, asyncio.get_running_loop().time()

    def set_aside(self, rest_seconds: float = 0.0) -> None:
        """It gets no job until it says again that it is ready, and is not asked before the rest."""
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
        state = await self._asked_state()
        # An answer from before it was set aside says nothing about it since.
        if times_set_aside == self._times_set_aside:
            self.state = state

    async def _asked_state(self) -> ServerState:
        try:
            status = await self.transport.model_status()
            if status.state is ModelState.LOADING:
                return ServerState.LOADING
            if status.state is not ModelState.READY:
                return ServerState.UNREACHABLE
            if self.state is not ServerState.READY or status.version != self._version:
                await self.read_description()
                self._version = status.version
        except ClientError:
            return ServerState.UNREACHABLE
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
        """Whether it serves another model than it said before."""
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
                    changed()
            if self.state is not ServerState.READY and is_wanted():
                seconds, pause = pause, min(pause * 2, checks.longest_seconds)
            else:
                seconds, pause = checks.idle_seconds, checks.first_seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()


class ModelServers:
    """All of them. `start` and `stop` belong to the event loop that draws.

    connect: makes the transport of an endpoint for a model.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        model_name: str,
        connect: Callable[[str, str], Transport] = AsyncGrpcTransport,
    ) -> None:
        self.estimates = Estimates()
        self.servers: list[ModelServer] = []
        self._endpoints = endpoints
        self._model_name = model_name
        self._connect = connect
        self._watches: list[asyncio.Task[None]] = []
        self._is_wanted: Callable[[], bool] = lambda: False
        self._changed: Callable[[], None] = lambda: None

    def serve(self, is_wanted: Callable[[], bool], changed: Callable[[], None]) -> None:
        """is_wanted: whether there is anything to draw. changed: is called whenever a server's
        state has changed."""
        self._is_wanted, self._changed = is_wanted, changed

    def start(self) -> None:
        for endpoint in self._endpoints:
            transport = self._connect(endpoint, self._model_name)
            server = ModelServer(endpoint, transport, self.estimates)
            self.servers.append(server)
            self._watches.append(asyncio.create_task(server.watch(self._is_wanted, self._changed)))
        self._changed()

    async def stop(self) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        for server in self.servers:
            await server.transport.close()

    @property
    def ready(self) -> list[ModelServer]:
        return [server for server in self.servers if server.state is ServerState.READY]

    @property
    def state(self) -> ServerState:
        """That of the best server."""
        states = {server.state for server in self.servers}
        return next((state for state in ServerState if state in states), ServerState.UNREACHABLE)

    @property
    def is_loading(self) -> bool:
        return self.state is ServerState.LOADING

    @property
    def was_seen(self) -> bool:
        """Whether any server has said what it serves."""
        return any(server.served for server in self.servers)

    @property
    def served(self) -> Served:
        """What a ready server serves, else what one served last, else what is assumed."""
        for server in [*self.ready, *self.servers]:
            if server.served is not None:
                return server.served
        return Served(Limits())

    @property
    def fingerprint(self) -> str:
        """Of the model in `served`."""
        description = self.served.description
        return description.fingerprint if description else ""

    def idle(self) -> ModelServer | None:
        """The ready server that draws nothing, and has not for longest."""
        idle = [server for server in self.ready if not server.is_busy]
        return min(idle, key=lambda server: server.last_used, default=None)

    def wake(self) -> None:
        """Have those checked at once that are not ready."""
        for server in self.servers:
            if server.state is not ServerState.READY:
                server.wake()
