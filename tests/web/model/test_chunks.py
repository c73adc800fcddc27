"""How many steps are asked for at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from web.model.chunks import CHUNK_SECONDS, steps_of_a_chunk


def test_an_unknown_model_is_asked_for_one_step() -> None:
    assert steps_of_a_chunk(None, 20) == 1


@given(st.floats(1e-6, 100.0), st.integers(1, 1000))
def test_a_chunk_takes_from_half_a_second_to_a_second_unless_a_step_is_longer_or_few_are_left(
    seconds_per_step: float, steps_left: int
) -> None:
    steps = steps_of_a_chunk(seconds_per_step, steps_left)
    assert 1 <= steps <= steps_left
    seconds = steps * seconds_per_step
    assert seconds <= CHUNK_SECONDS * 1.000001 or steps == 1
    assert seconds >= CHUNK_SECONDS / 2 or steps == steps_left
