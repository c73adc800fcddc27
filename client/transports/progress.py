"""How far a picture is, for whoever asks to be told.

The one who asks is known to the thread or task that waits for the picture, so that every transport
can be between the two, whether it wraps others or never tells anything.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class PictureProgress:
    """place: in the queue, from 1; 0 once it is drawn. seconds_left: the server's estimate until
    the picture is there, None without one.
    """

    place: int = 0
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None


Watch = Callable[[PictureProgress], None]
"""Called with each change, in the thread or task that waits for the picture."""

_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched_by(watch: Watch | None) -> Generator[None]:
    """What is told within the block is told to `watch`."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def tell(progress: PictureProgress) -> None:
    """For a transport that knows."""
    if watch := _watch.get():
        watch(progress)
