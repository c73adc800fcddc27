"""The time that an export has left, from the stages' usual durations and this machine's pace."""

from __future__ import annotations

import pytest

from model_export.progress import Estimate
from model_export.stages import Stage

EXPECTED = {Stage.LOAD: 10.0, Stage.TRACE: 10.0, Stage.SAVE: 20.0}


def test_the_time_left_follows_the_pace_of_this_machine() -> None:
    quick, slow = Estimate(EXPECTED, 0.0), Estimate(EXPECTED, 0.0)
    assert quick.remaining_seconds(0.0) == 40.0
    quick.update(Stage.TRACE, 0.0, 2.0)
    slow.update(Stage.TRACE, 0.0, 20.0)
    assert quick.remaining_seconds(2.0) == pytest.approx(6.0)
    assert slow.remaining_seconds(20.0) == pytest.approx(60.0)


def test_the_time_left_shrinks_while_a_stage_lasts() -> None:
    estimate = Estimate(EXPECTED, 0.0)
    estimate.update(Stage.LOAD, 0.0, 0.0)
    assert estimate.remaining_seconds(4.0) == pytest.approx(36.0)
    assert estimate.remaining_seconds(15.0) == pytest.approx(30.0)


def test_the_time_left_believes_what_a_stage_says_is_done() -> None:
    estimate = Estimate(EXPECTED, 0.0)
    estimate.update(Stage.LOAD, 0.0, 0.0)
    estimate.update(Stage.LOAD, 0.25, 10.0)
    assert estimate.remaining_seconds(10.0) == pytest.approx(30.0 + 30.0)


def test_the_time_left_of_a_resumed_download_follows_what_is_downloaded_since() -> None:
    estimate = Estimate({Stage.FETCH: 100.0, **EXPECTED}, 0.0)
    estimate.update(Stage.FETCH, 0.0, 0.0)
    estimate.update(Stage.FETCH, 0.5, 1.0)
    estimate.update(Stage.FETCH, 0.75, 11.0)
    assert estimate.remaining_seconds(11.0) == pytest.approx(10.0 + 40.0)


def test_the_time_left_does_not_follow_the_pace_of_a_download() -> None:
    estimate = Estimate({Stage.FETCH: 100.0, **EXPECTED}, 0.0)
    estimate.update(Stage.FETCH, 0.0, 0.0)
    estimate.update(Stage.LOAD, 0.0, 1.0)
    assert estimate.remaining_seconds(1.0) == pytest.approx(40.0)
    estimate.update(Stage.TRACE, 0.0, 21.0)
    assert estimate.remaining_seconds(21.0) == pytest.approx(60.0)


def test_the_time_left_does_not_believe_the_first_moments_of_a_stage() -> None:
    """Imports are over before anything is done, and would stretch the rest beyond measure."""
    estimate = Estimate(EXPECTED, 0.0)
    estimate.update(Stage.LOAD, 0.0, 0.0)
    estimate.update(Stage.LOAD, 0.001, 5.0)
    assert estimate.remaining_seconds(5.0) == pytest.approx(5.0 + 30.0)
