"""All that draw the jobs of one service, as the queue sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from prediction.description import Served
from web.jobs.drawing import Drawing
from web.jobs.estimates import Estimates
from web.jobs.job import Job
from web.jobs.patience import Patience
from web.jobs.server import Server, ServerState
from web.metrics import Metrics

S = TypeVar("S", bound=Server)


def longest_idle(servers: Iterable[S]) -> S | None:
    """The one that draws nothing, and has not for longest."""
    idle = [server for server in servers if not server.is_busy]
    return min(idle, key=lambda server: server.last_used, default=None)


class Servers(Protocol):
    """`start` and `stop` belong to the event loop that draws."""

    @property
    def estimates(self) -> Estimates: ...
    @property
    def servers(self) -> Sequence[Server]: ...
    @property
    def ready(self) -> Sequence[Server]: ...
    @property
    def state(self) -> ServerState:
        """That of the best server."""
        ...

    @property
    def is_loading(self) -> bool: ...
    @property
    def was_seen(self) -> bool:
        """Whether any server has said what it serves."""
        ...

    @property
    def start_seconds(self) -> float | None:
        """From `start` until a server was ready for the first time."""
        ...

    @property
    def served(self) -> Served:
        """What a ready server serves, else what one served last, else what is assumed."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of the model in `served`."""
        ...

    def serve(self, is_wanted: Callable[[], bool], changed: Callable[[], None]) -> None:
        """is_wanted: whether there is anything to draw. changed: is called whenever a server's
        state has changed."""

    def start(self) -> None: ...
    async def first_checks(self, limit_seconds: float) -> None:
        """Wait until each server was asked for its state, but no longer than that."""

    async def stop(self) -> None: ...
    def idle(self) -> Server | None:
        """The ready server that draws nothing, and has not for longest."""
        ...

    def wake(self) -> None:
        """Have those checked at once that are not ready."""

    def drawing(self, job: Job, patience: Patience, metrics: Metrics) -> Drawing:
        """The job on its way, for any of these servers."""
        ...
