"""How many steps are asked for at a time."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from web.model.chunks import (
    CHUNK_SECONDS,
    CHUNKS_OF_A_PICTURE,
    LEAST_SECONDS,
    steps_of_a_chunk,
)

SECONDS_PER_STEP = st.floats(1e-6, 100.0)
STEPS = st.integers(1, 1000)
A_LITTLE = 1.000001


def chunks_of(seconds_per_step: float, num_steps: int) -> list[int]:
    """A whole picture's."""
    chunks: list[int] = []
    while (left := num_steps - sum(chunks)) > 0:
        chunks.append(steps_of_a_chunk(seconds_per_step, num_steps, left))
    return chunks


def test_an_unknown_model_is_asked_for_one_step() -> None:
    assert steps_of_a_chunk(None, 20, 20) == 1


@pytest.mark.parametrize(
    ("seconds_per_step", "chunks"),
    [
        (0.001, [20]),
        (0.01, [10, 10]),
        (0.05, [5, 5, 5, 5]),
        (0.15, [5, 5, 5, 5]),
        (0.021, [5, 5, 5, 5]),
        (0.011, [10, 10]),
        (0.3, [3, 3, 3, 3, 3, 3, 2]),
        (4.0, [1] * 20),
    ],
)
def test_a_picture_of_twenty_steps_is_drawn_in(seconds_per_step: float, chunks: list[int]) -> None:
    assert chunks_of(seconds_per_step, 20) == chunks


@given(SECONDS_PER_STEP, STEPS)
def test_no_chunk_takes_more_than_a_second_unless_a_step_does(
    seconds_per_step: float, num_steps: int
) -> None:
    for steps in chunks_of(seconds_per_step, num_steps):
        assert steps * seconds_per_step <= CHUNK_SECONDS * A_LITTLE or steps == 1


@given(SECONDS_PER_STEP, STEPS)
def test_a_chunk_of_a_slow_picture_takes_half_a_second_at_least(
    seconds_per_step: float, num_steps: int
) -> None:
    assume(seconds_per_step * num_steps >= CHUNKS_OF_A_PICTURE * CHUNK_SECONDS)
    for steps in chunks_of(seconds_per_step, num_steps)[:-1]:
        assert steps * seconds_per_step * A_LITTLE >= CHUNK_SECONDS / 2


@given(SECONDS_PER_STEP, STEPS)
def test_the_chunks_of_a_picture_are_alike(seconds_per_step: float, num_steps: int) -> None:
    chunks = chunks_of(seconds_per_step, num_steps)
    assert max(chunks) - min(chunks) <= 1
    assert chunks == sorted(chunks, reverse=True)


@given(SECONDS_PER_STEP, st.integers(CHUNKS_OF_A_PICTURE, 1000))
def test_a_picture_is_drawn_in_four_chunks_unless_they_would_be_too_short(
    seconds_per_step: float, num_steps: int
) -> None:
    chunks = chunks_of(seconds_per_step, num_steps)
    if len(chunks) < CHUNKS_OF_A_PICTURE - 1:
        assert num_steps * seconds_per_step < 2 * CHUNKS_OF_A_PICTURE * LEAST_SECONDS
    if len(chunks) > 1:
        assert max(chunks) * 2 * seconds_per_step * A_LITTLE >= LEAST_SECONDS
