"""What draws jobs, as the queue sees it: one job at a time."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from enum import StrEnum

from web.jobs.estimates import Estimates


class ServerState(StrEnum):
    READY = "ready"
    LOADING = "loading"
    UNREACHABLE = "unreachable"


class Server(ABC):
    """One that draws one job at a time. endpoint: its address, or another name for the log."""

    def __init__(self, endpoint: str, estimates: Estimates) -> None:
        self.endpoint = endpoint
        self.state = ServerState.UNREACHABLE
        self.is_busy = False
        self.last_used = 0.0
        self._estimates = estimates
        self._busy_seconds = 0.0

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Of what it serves. Empty if the model does not say what it is."""

    @property
    @abstractmethod
    def keeps_unfinished(self) -> bool:
        """Whether a picture that is stopped can be had as far as it was drawn."""

    @abstractmethod
    def set_aside(self, rest_seconds: float = 0.0) -> None:
        """It gets no job until it says again that it is ready, and is not asked before the rest."""

    @abstractmethod
    async def has_changed(self) -> bool:
        """Whether it serves another model than it said before."""

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
