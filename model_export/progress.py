"""Telling a person how far an export is: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from model_export.export import Progress, Stage

_EXPECTED_SECONDS = {
    Stage.LOAD: 15.0,
    Stage.TRACE: 9.0,
    Stage.SAVE: 7.0,
    Stage.DESCRIBE: 0.5,
    Stage.PUBLISH: 0.5,
}
"""The demo model's on two cores. Only their proportions matter once the first stage is over."""


class Estimate:
    """The time left, from the stages' usual durations and how this run compares so far."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._pace = 1.0

    def remaining_seconds(self, stage: Stage, now: float) -> float:
        """At the moment when stage begins."""
        stages = list(Stage)
        done = sum(_EXPECTED_SECONDS[s] for s in stages[: stages.index(stage)])
        if done:
            self._pace = (now - self._began) / done
        return self._pace * (sum(_EXPECTED_SECONDS.values()) - done)


@contextlib.contextmanager
def reporter() -> Iterator[Progress]:
    """Reports to stdout, in the form that suits it."""
    with _live_line() if sys.stdout.isatty() else contextlib.nullcontext(_plain_lines()) as report:
        yield report


def _plain_lines() -> Progress:
    estimate = Estimate(time.monotonic())

    def report(stage: Stage) -> None:
        print(_describe(stage, estimate.remaining_seconds(stage, time.monotonic())), flush=True)

    return report


@contextlib.contextmanager
def _live_line() -> Iterator[Progress]:
    from rich.console import Console

    console = Console(highlight=False)
    estimate = Estimate(time.monotonic())
    with console.status("starting") as status:

        def report(stage: Stage) -> None:
            status.update(_describe(stage, estimate.remaining_seconds(stage, time.monotonic())))

        yield report


def _describe(stage: Stage, remaining_seconds: float) -> str:
    stages = list(Stage)
    place = f"({stages.index(stage) + 1}/{len(stages)})"
    return f"{place} {stage.value}, about {max(1, round(remaining_seconds))} s left"
