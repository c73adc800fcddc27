"""How many steps to ask for at a time."""

from __future__ import annotations

CHUNK_SECONDS = 1.0
"""The longest that a chunk is meant to take, and so a cancel. A chunk costs a few milliseconds by
itself, so that it is also meant to take half of this at least."""


def steps_of_a_chunk(seconds_per_step: float | None, steps_left: int) -> int:
    """One step of a model whose speed is unknown."""
    if seconds_per_step is None:
        return 1
    if seconds_per_step * steps_left <= CHUNK_SECONDS:
        return steps_left
    return min(max(int(CHUNK_SECONDS / seconds_per_step), 1), steps_left)
