"""How long it takes until a machine that was not there draws."""

from __future__ import annotations

from collections import deque

FIRST_GUESS_SECONDS = 180.0
"""A node, the image, the model."""
SHOWN_AFTER_SECONDS = 3.0
"""A worker that runs has answered by then."""
LEAST_SECONDS = 10.0
"""Whoever answers sooner was only busy."""
REMEMBERED = 5


class Wakings:
    """Learned from the last ones."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)

    def add(self, seconds: float) -> None:
        """seconds: from a job's request to its start."""
        if seconds >= LEAST_SECONDS:
            self._seconds.append(seconds)

    @property
    def expected_seconds(self) -> float:
        if not self._seconds:
            return FIRST_GUESS_SECONDS
        return sum(self._seconds) / len(self._seconds)
