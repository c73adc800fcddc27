"""Several servers behind one transport: each request goes to the least loaded one."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from client.transports.transport import AsyncTransport, Transport
from prediction.answer import Answer
from prediction.description import Answers
from prediction.errors import UnreachableError
from prediction.limits import PictureRequest
from prediction.model_status import ModelState, ModelStatus

T = TypeVar("T")

AVOID_SECONDS = 5.0
"""For this long an unreachable server gets requests only if all others are unreachable too.
Otherwise it would look least loaded and attract every request."""


@dataclass
class _Server(Generic[T]):
    transport: T
    in_flight: int = 0
    last_used: int = 0
    avoided_until: float = 0.0


class _Servers(Generic[T]):
    """Which server gets the next request: the one with the fewest of this client's in flight.

    Ties go to the least recently used server. Other clients' load is not seen.
    """

    def __init__(self, transports: Sequence[T]) -> None:
        self.transports = transports
        self._servers = [_Server(transport) for transport in transports]
        self._lock = threading.Lock()
        self._picks = 0

    @contextmanager
    def picked(self) -> Generator[T]:
        with self._lock:
            now = time.monotonic()
            server = min(
                self._servers, key=lambda s: (now < s.avoided_until, s.in_flight, s.last_used)
            )
            self._picks += 1
            server.last_used = self._picks
            server.in_flight += 1
        try:
            yield server.transport
        except UnreachableError:
            server.avoided_until = time.monotonic() + AVOID_SECONDS
            raise
        finally:
            with self._lock:
                server.in_flight -= 1


class LeastLoaded:
    """Several servers as one transport; each request goes to the least loaded one."""

    def __init__(self, transports: Sequence[Transport]) -> None:
        self._servers = _Servers(transports)

    @property
    def endpoint(self) -> str:
        return ", ".join(transport.endpoint for transport in self._servers.transports)

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        with self._servers.picked() as transport:
            return transport.predict(request, timeout_seconds)

    def describe(self, timeout_seconds: float) -> Answers:
        """The answers of all servers, which are asked at once: one that hangs delays no other."""
        transports = self._servers.transports
        answers: dict[int, Answers] = {}

        def ask(number: int) -> None:
            answers[number] = transports[number].describe(timeout_seconds)

        numbers = range(len(transports))
        # Daemons, so that an interrupt does not wait for them.
        threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in numbers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [answer for number in numbers for answer in answers[number]]

    def model_status(self, timeout_seconds: float) -> ModelStatus:
        return _worst([t.model_status(timeout_seconds) for t in self._servers.transports])

    def close(self) -> None:
        for transport in self._servers.transports:
            transport.close()


class AsyncLeastLoaded:
    """As `LeastLoaded`, for `asyncio`."""

    def __init__(self, transports: Sequence[AsyncTransport]) -> None:
        self._servers = _Servers(transports)

    @property
    def endpoint(self) -> str:
        return ", ".join(transport.endpoint for transport in self._servers.transports)

    async def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        with self._servers.picked() as transport:
            return await transport.predict(request, timeout_seconds)

    async def describe(self, timeout_seconds: float) -> Answers:
        """As `LeastLoaded.describe`."""
        import asyncio

        transports = self._servers.transports
        answers = await asyncio.gather(*(t.describe(timeout_seconds) for t in transports))
        return [answer for of_one in answers for answer in of_one]

    async def model_status(self, timeout_seconds: float) -> ModelStatus:
        return _worst([await t.model_status(timeout_seconds) for t in self._servers.transports])

    async def close(self) -> None:
        for transport in self._servers.transports:
            await transport.close()


def _worst(statuses: Sequence[ModelStatus]) -> ModelStatus:
    """The status of the first server that is not ready; of the first one if all are."""
    return next((s for s in statuses if s.state is not ModelState.READY), statuses[0])
