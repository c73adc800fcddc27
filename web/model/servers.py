"""The model servers: which are ready, what they serve, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from prediction.description import Served
from prediction.limits import Limits
from prediction.rpc_async import AsyncGrpcTransport
from web.jobs.drawing import Drawing
from web.jobs.estimates import Estimates
from web.jobs.job import Job
from web.jobs.patience import Patience
from web.jobs.server import ServerState
from web.jobs.servers import longest_idle
from web.metrics import Metrics
from web.model.drawing import ModelDrawing
from web.model.server import ModelServer, Transport


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
        self.start_seconds: float | None = None
        self._started = 0.0
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
        self._started = asyncio.get_running_loop().time()
        for endpoint in self._endpoints:
            transport = self._connect(endpoint, self._model_name)
            server = ModelServer(endpoint, transport, self.estimates)
            self.servers.append(server)
            watch = server.watch(self._is_wanted, self._see_change)
            self._watches.append(asyncio.create_task(watch))
        self._changed()

    def _see_change(self) -> None:
        if self.start_seconds is None and self.ready:
            self.start_seconds = asyncio.get_running_loop().time() - self._started
        self._changed()

    async def first_checks(self, limit_seconds: float) -> None:
        """Wait until each server was asked for its state, but no longer than that."""
        checks = [asyncio.create_task(server.was_checked.wait()) for server in self.servers]
        await asyncio.wait(checks, timeout=limit_seconds)
        for check in checks:
            check.cancel()

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

    def drawing(self, job: Job, patience: Patience, metrics: Metrics) -> Drawing:
        """The job on its way, for any of these servers."""
        return ModelDrawing(job, self.estimates, patience, metrics)

    def idle(self) -> ModelServer | None:
        """The ready server that draws nothing, and has not for longest."""
        return longest_idle(self.ready)

    def wake(self) -> None:
        """Have those checked at once that are not ready."""
        for server in self.servers:
            if server.state is not ServerState.READY:
                server.wake()
