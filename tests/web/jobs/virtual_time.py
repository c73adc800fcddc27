"""An event loop whose clock jumps to the next timer: hours pass in milliseconds.

It is for code that neither reads nor writes: nothing arrives from outside.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LIMIT_SECONDS = 100_000.0


class _Selector(selectors.SelectSelector):
    """Instead of waiting, it lets the time pass."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing will ever happen any more"
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs to its end, which must come within a day of virtual time."""

    async def limited() -> T:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await main

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(limited())


def now() -> float:
    return asyncio.get_running_loop().time()
