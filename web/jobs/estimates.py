"""How long pictures take, learned from those that were drawn."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_SECONDS = 1e-6
WEIGHT = 0.3
"""Of the newest measurement in the moving average."""
MOST_AT_ONCE = 3.0
"""One measurement counts at most as this multiple of the average: a machine that slept for a minute
is no slower afterwards."""
FRESH_SECONDS = 600.0
"""An older estimate refuses nobody: a wrong one that refused all would never be put right."""


@dataclass
class Estimate:
    """Of one model. fixed_seconds: what a picture takes beside its steps, 0 while unknown.
    measured: when the newest step was, on the event loop's clock."""

    seconds_per_step: float
    measured: float
    fixed_seconds: float = 0.0
    measurements: int = 1

    def seconds(self, steps: int, pictures: int) -> float:
        return steps * self.seconds_per_step + pictures * self.fixed_seconds

    def is_sound(self, now: float) -> bool:
        """Whether somebody may be refused by it."""
        return self.measurements > 1 and now - self.measured <= FRESH_SECONDS


class Estimates:
    """By the model's fingerprint. There are never more than a few models."""

    def __init__(self) -> None:
        self._of: dict[str, Estimate] = {}

    def of(self, fingerprint: str) -> Estimate | None:
        """None before the model has drawn a step."""
        return self._of.get(fingerprint)

    def add_steps(self, fingerprint: str, steps: int, seconds: float, now: float) -> None:
        measured = max(seconds / steps, LEAST_SECONDS)
        known = self._of.get(fingerprint)
        if known is None:
            self._of[fingerprint] = Estimate(measured, now)
            return
        known.measurements += 1
        known.measured = now
        # A model's first step takes much longer than all others: its memory is not there yet.
        is_second = known.measurements == 2
        known.seconds_per_step = (
            min(known.seconds_per_step, measured)
            if is_second
            else _averaged(known.seconds_per_step, measured)
        )

    def add_fixed(self, fingerprint: str, seconds: float) -> None:
        """After the picture's steps were added."""
        known = self._of.get(fingerprint)
        if known is not None:
            known.fixed_seconds = (
                _averaged(known.fixed_seconds, seconds) if known.fixed_seconds else seconds
            )


def _averaged(average: float, measured: float) -> float:
    return average + WEIGHT * (min(measured, MOST_AT_ONCE * average) - average)


def ends_of(free_in_seconds: Sequence[float], durations: Sequence[float]) -> list[float]:
    """In how many seconds each job ends, if each in turn begins where it can begin first.

    free_in_seconds: for each model server, of which there is at least one.
    """
    free = list(free_in_seconds)
    heapq.heapify(free)
    ends: list[float] = []
    for duration in durations:
        ends.append(free[0] + duration)
        heapq.heapreplace(free, ends[-1])
    return ends
