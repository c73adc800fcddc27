"""A front's places at its workers: so many jobs are drawn at a time, each by whichever machine the
workers' address leads to.

Nobody asks a worker how it is: that would start one where none runs.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx

from prediction.description import Served
from web.front.connection import WorkerConnection
from web.front.drawing import WorkerDrawing
from web.front.files import WorkerKey
from web.front.wakings import Wakings
from web.jobs.drawing import Drawing
from web.jobs.estimates import Estimates
from web.jobs.job import Job
from web.jobs.patience import Patience
from web.jobs.server import Server, ServerState
from web.jobs.servers import longest_idle
from web.metrics import Metrics


class Worker(Server):
    """One place. It is always ready: what is amiss shows when a job is drawn."""

    def __init__(self, endpoint: str, fingerprint: str, estimates: Estimates) -> None:
        super().__init__(endpoint, estimates)
        self.state = ServerState.READY
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def keeps_unfinished(self) -> bool:
        return False

    def set_aside(self, rest_seconds: float = 0.0) -> None:
        """The next request may reach another machine."""

    async def has_changed(self) -> bool:
        return False


class Workers:
    """`Servers` of a front. transport: httpx's, for tests."""

    is_loading = False
    was_seen = True
    start_seconds = None
    state = ServerState.READY

    def __init__(
        self,
        url: str,
        count: int,
        served: Served,
        key: WorkerKey | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.estimates = Estimates()
        self.served = served
        self.fingerprint = served.description.fingerprint if served.description else ""
        self.servers = [
            Worker(f"worker-{number}", self.fingerprint, self.estimates)
            for number in range(1, count + 1)
        ]
        self.wakings = Wakings()
        self._connection = WorkerConnection(url, key, served.limits.image_size, transport)

    @property
    def ready(self) -> list[Worker]:
        return self.servers

    def serve(self, is_wanted: Callable[[], bool], changed: Callable[[], None]) -> None:
        """Their state never changes."""

    def start(self) -> None:
        """There is nothing to look for."""

    async def first_checks(self, limit_seconds: float) -> None:
        """There are none."""

    async def stop(self) -> None:
        await self._connection.close()

    def idle(self) -> Worker | None:
        return longest_idle(self.servers)

    def wake(self) -> None:
        """A job does."""

    def drawing(self, job: Job, patience: Patience, metrics: Metrics) -> Drawing:
        return WorkerDrawing(job, self._connection, self.wakings, self.estimates, patience, metrics)
