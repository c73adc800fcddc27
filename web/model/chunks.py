"""How many steps to ask for at a time."""

from __future__ import annotations

import math

CHUNK_SECONDS = 1.0
"""The longest that a chunk is meant to take, and so a cancel."""
CHUNKS_OF_A_PICTURE = 4
"""At least so many, each with a preview: a picture of a second is seen to grow, too."""
LEAST_SECONDS = 0.1
"""A chunk costs about ten milliseconds by itself, so that a shorter one is not worth it."""


def steps_of_a_chunk(seconds_per_step: float | None, num_steps: int, steps_left: int) -> int:
    """Of a picture of `num_steps`. One step of a model whose speed is unknown."""
    if seconds_per_step is None:
        return 1
    least, most = math.ceil(LEAST_SECONDS / seconds_per_step), int(CHUNK_SECONDS / seconds_per_step)
    steps = max(min(max(math.ceil(num_steps / CHUNKS_OF_A_PICTURE), least), most), 1)
    # Evenly, so that no short one is left.
    return math.ceil(steps_left / math.ceil(steps_left / steps))
