"""The progress of an export: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from model_export.export import Progress, stages
from model_export.families import family
from model_export.spec import ModelSpec
from model_export.stages import Stage

_ESTIMATING_SHARE = 0.1
"""The share of a stage after which its own pace gives the estimate."""

_LIVE_SECONDS = 0.5
_PLAIN_SECONDS = 10.0
"""How often the remaining time is reported during a stage."""


class Estimate:
    """The remaining time, from the stages' usual durations and this run's pace so far."""

    def __init__(self, expected: Mapping[Stage, float], now: float) -> None:
        self._expected = dict(expected)
        self._began = self._stage_began = now
        self._pace = 1.0
        self._stage: Stage | None = None
        self._done = 0.0
        self._first: tuple[float, float] | None = None
        """The share that was done when the stage first reported one, and when that was."""

    def update(self, stage: Stage, done: float, now: float) -> None:
        """done: the known share of the stage that is finished, from 0 to 1."""
        if stage is not self._stage:
            if self._stage is Stage.FETCH:
                self._began = now  # the network's pace says nothing of what follows
            before = self._before(stage) - self._expected.get(Stage.FETCH, 0.0)
            if before > 0:
                self._pace = (now - self._began) / before
            self._stage, self._stage_began, self._first = stage, now, None
        if done and self._first is None:
            self._first = (done, now)
        self._done = done

    def remaining_seconds(self, now: float) -> float:
        if self._stage is None:
            return sum(self._expected.values())
        later = sum(self._expected.values()) - self._before(self._stage)
        later -= self._expected[self._stage]
        return self._remaining_here(self._stage, now) + self._pace * later

    def _remaining_here(self, stage: Stage, now: float) -> float:
        # What came before the first report tells no pace: imports, or an earlier run's download.
        done_before, began = self._first or (0.0, now)
        if self._done - done_before >= _ESTIMATING_SHARE:
            return (now - began) * (1 - self._done) / (self._done - done_before)
        spent = now - self._stage_began
        if self._done >= _ESTIMATING_SHARE:
            return spent * (1 - self._done) / self._done
        return max(0.0, self._pace * self._expected[stage] - spent)

    def _before(self, stage: Stage) -> float:
        order = list(self._expected)
        return sum(self._expected[s] for s in order[: order.index(stage)])


class _Reporter:
    """Reports the stage, the share of it that is done if known, and the remaining time."""

    def __init__(self, spec: ModelSpec, say: Callable[[str], None]) -> None:
        self._stages = stages(spec)
        expected = family(spec.family).expected_seconds
        self._estimate = Estimate({s: expected[s] for s in self._stages}, time.monotonic())
        self._say = say
        self._current: tuple[Stage, float] | None = None

    def __call__(self, stage: Stage, done: float = 0.0) -> None:
        began = self._current is None or self._current[0] is not stage
        self._current = (stage, done)
        self._estimate.update(stage, done, time.monotonic())
        if began:
            self.say_again()

    def say_again(self) -> None:
        if self._current is None:
            return
        stage, done = self._current
        place = f"({self._stages.index(stage) + 1}/{len(self._stages)})"
        share = f" ({done:.0%})" if done else ""
        left = max(1, round(self._estimate.remaining_seconds(time.monotonic())))
        self._say(f"{place} {stage.value}{share}, about {_duration(left)} left")


@contextlib.contextmanager
def reporter(spec: ModelSpec) -> Iterator[Progress]:
    """Reports to stdout, live or as plain lines, until the block ends."""
    if not sys.stdout.isatty():
        plain = _Reporter(spec, lambda line: print(line, flush=True))
        with _every(_PLAIN_SECONDS, plain.say_again):
            yield plain
        return
    from rich.console import Console

    console = Console(highlight=False)
    spinner = "dots" if console.encoding.startswith("utf") else "line"
    with console.status("starting", spinner=spinner) as status:
        live = _Reporter(spec, status.update)
        with _every(_LIVE_SECONDS, live.say_again):
            yield live


@contextlib.contextmanager
def _every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(seconds):
            act()

    thread = threading.Thread(target=run, daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"
