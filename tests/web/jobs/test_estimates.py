"""How long pictures take, from those that were drawn."""

from __future__ import annotations

import pytest

from web.jobs.estimates import FRESH_SECONDS, Estimates, ends_of


def _after(*seconds_per_step: float) -> Estimates:
    estimates = Estimates()
    for now, seconds in enumerate(seconds_per_step):
        estimates.add_steps("model", 4, 4 * seconds, float(now))
    return estimates


def _seconds(estimates: Estimates) -> float:
    estimate = estimates.of("model")
    assert estimate is not None
    return estimate.seconds_per_step


def test_nothing_is_known_of_a_model_that_has_drawn_nothing() -> None:
    assert _after(1.0).of("another") is None


def test_a_models_slow_first_step_is_forgotten_with_the_second() -> None:
    assert _seconds(_after(60.0, 1.0)) == pytest.approx(1.0)


def test_nobody_is_refused_by_a_models_first_step() -> None:
    first, second = _after(60.0).of("model"), _after(60.0, 1.0).of("model")
    assert first is not None and not first.is_sound(1.0)
    assert second is not None and second.is_sound(1.0)
    assert not second.is_sound(1.0 + FRESH_SECONDS + 0.1)


def test_the_average_follows_a_change_within_some_measurements() -> None:
    assert _seconds(_after(1.0, 1.0, *[2.0] * 10)) == pytest.approx(2.0, rel=0.05)
    assert _seconds(_after(2.0, 2.0, *[1.0] * 10)) == pytest.approx(1.0, rel=0.05)


def test_one_measurement_of_a_machine_that_slept_does_little() -> None:
    assert _seconds(_after(1.0, 1.0, 3600.0)) < 2.0


def test_a_step_in_no_time_is_no_estimate_that_lasts() -> None:
    assert _seconds(_after(0.0, 0.0, *[1.0] * 40)) == pytest.approx(1.0, rel=0.05)


def test_what_a_picture_takes_beside_its_steps_is_counted_for_each() -> None:
    estimates = _after(1.0, 1.0)
    for _ in range(20):
        estimates.add_fixed("model", 3.0)
    estimate = estimates.of("model")
    assert estimate is not None
    assert estimate.seconds(steps=20, pictures=2) == pytest.approx(26.0)


@pytest.mark.parametrize(
    ("free", "durations", "ends"),
    [
        ([0.0], [3.0, 2.0], [3.0, 5.0]),
        ([4.0], [3.0], [7.0]),
        ([0.0, 5.0], [3.0, 3.0, 3.0], [3.0, 6.0, 8.0]),
        ([1.0, 2.0, 3.0], [], []),
    ],
)
def test_each_job_begins_where_it_can_begin_first(
    free: list[float], durations: list[float], ends: list[float]
) -> None:
    assert ends_of(free, durations) == ends
