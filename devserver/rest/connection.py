"""Reading from a client's connection with limits on time and on bytes.

TF Serving has no such limits and needs a proxy in front of it; this server may have none.
"""

from __future__ import annotations

import io
import resource
import socket
import time
from dataclasses import dataclass, field

_MAX_CONNECTIONS = 512


def _connections() -> int:
    """Half of the files that the process may open, if those are few: each connection is one."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(_MAX_CONNECTIONS, files // 2) if files > 0 else _MAX_CONNECTIONS


@dataclass(frozen=True)
class ConnectionLimits:
    """How many connections there may be, and how long each may take for what."""

    connections: int = field(default_factory=_connections)
    idle_seconds: float = 120.0
    """From the connection's start, or the last response, to the next request's first byte. That is
    more than a minute, the usual interval of a Prometheus server, which keeps its connection."""
    head_seconds: float = 10.0
    """From the first byte of a request to the end of its headers."""
    body_seconds: float = 120.0
    """From the end of the headers to the end of the body."""
    pause_seconds: float = 10.0
    """Without a byte in a body, or of a response that the client does not read."""
    linger_seconds: float = 1.0
    """What a client may still send before a connection is closed, so that it sees the response."""
    head_bytes: int = 256 << 10


class HeadTooLargeError(Exception):
    """The request line and the headers are larger than the limit."""


class TimedReader(io.RawIOBase):
    """A socket's bytes, for `io.BufferedReader`. Reads raise TimeoutError after a time limit."""

    def __init__(self, connection: socket.socket, limits: ConnectionLimits) -> None:
        self._connection = connection
        self._limits = limits
        self._deadline = 0.0
        self._bytes_left: int | None = None
        self.expect_request()

    def expect_request(self) -> None:
        self._deadline = time.monotonic() + self._limits.idle_seconds
        self._bytes_left = self._limits.head_bytes

    def expect_head(self) -> None:
        self._deadline = time.monotonic() + self._limits.head_seconds

    def expect_body(self) -> None:
        self._deadline = time.monotonic() + self._limits.body_seconds
        self._bytes_left = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        seconds = self._deadline - time.monotonic()
        if self._bytes_left is None:
            seconds = min(seconds, self._limits.pause_seconds)
        elif self._bytes_left <= 0:
            raise HeadTooLargeError
        if seconds <= 0:
            raise TimeoutError
        self._connection.settimeout(seconds)
        count = self._connection.recv_into(buffer)
        if self._bytes_left is not None:
            self._bytes_left -= count
        return count
