"""Several servers behind one transport: each request goes to the least loaded one."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from client.errors import UnreachableError
from client.limits import PictureRequest
from client.transports.transport import Answer, ModelState, ModelStatus, Transport

AVOID_SECONDS = 5.0
"""For this long an unreachable server gets requests only if all others are unreachable too.
Otherwise it would look least loaded and attract every request."""


@dataclass
class _Server:
    transport: Transport
    in_flight: int = 0
    last_used: int = 0
    avoided_until: float = 0.0


class LeastLoaded:
    """Sends each request to the server with the fewest of this client's requests in flight.

    Ties go to the least recently used server. Other clients' load is not seen.
    """

    def __init__(self, transports: Sequence[Transport]) -> None:
        self._servers = [_Server(transport) for transport in transports]
        self._lock = threading.Lock()
        self._picks = 0

    @property
    def endpoint(self) -> str:
        return ", ".join(server.transport.endpoint for server in self._servers)

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        with self._picked() as transport:
            return transport.predict(request, timeout_seconds)

    def model_status(self, timeout_seconds: float) -> ModelStatus:
        """The status of the first server that is not ready; of the first one if all are."""
        statuses = [server.transport.model_status(timeout_seconds) for server in self._servers]
        return next((s for s in statuses if s.state is not ModelState.READY), statuses[0])

    def close(self) -> None:
        for server in self._servers:
            server.transport.close()

    @contextmanager
    def _picked(self) -> Generator[Transport]:
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
