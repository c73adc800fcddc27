"""A connection's time limits: uvicorn waits forever for a request's head, and for a slow reader."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 20.0
"""From the first byte, or the connection's start, to the end of a request's head."""
STALLED_SECONDS = 60.0
"""How long a caller may take nothing of an answer that fills the connection's buffers."""


class TimedProtocol(H11Protocol):
    """Closes connections that stall."""

    head_seconds = HEAD_SECONDS
    stalled_seconds = STALLED_SECONDS

    _head_timer: asyncio.TimerHandle | None = None
    _stalled_timer: asyncio.TimerHandle | None = None

    def connection_made(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_timer = _cancelled(self._head_timer)
        self._stalled_timer = _cancelled(self._stalled_timer)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled_timer = self.loop.call_later(self.stalled_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stalled_timer = _cancelled(self._stalled_timer)
        super().resume_writing()

    def _watch_head(self) -> None:
        """Between requests uvicorn's own timer for idle connections counts."""
        if not self._is_owed():
            self._head_timer = _cancelled(self._head_timer)
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self._end)

    def _is_owed(self) -> bool:
        """Whether the caller has yet to send a head, or the rest of a body that was answered."""
        if self.conn.their_state is h11.SEND_BODY:
            return self.cycle.response_complete
        return self.conn.their_state is h11.IDLE

    def _end(self) -> None:
        if self._is_owed():
            self.transport.abort()


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
