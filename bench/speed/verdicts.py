"""What is asked of the measured ratios, and whether it is met."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.speed.results import Figure, Results, Round
from model_export.demo.compare import MAX_POINTS

MET, NOT_MET, NOT_MEASURABLE = "met", "not met", "not measurable here"
EQUAL_WITHIN = 0.02
""""No slower" allows for this much noise."""


def _step(one: Round) -> float:
    return one.step_seconds


def _decoder(one: Round) -> float:
    return one.decoder_seconds


@dataclass(frozen=True)
class Goal:
    """How many times as fast the first contender is asked to be as the second, and in what.

    of_round is None for the whole picture of each one's own number of steps.
    """

    what: str
    ours: str
    theirs: str
    at_least: float
    of_round: Callable[[Round], float] | None = None


_NO_SLOWER = 1.0 - EQUAL_WITHIN
GOALS = (
    Goal("step, exact bfloat16 : tutorial", "exact-bfloat16", "tutorial", 2.1, _step),
    Goal("picture, exact bfloat16 : tutorial", "exact-bfloat16", "tutorial", 3.0),
    Goal("picture, exact bfloat16 : diffusers", "exact-bfloat16", "diffusers-bfloat16", _NO_SLOWER),
    Goal(
        "step, exact bfloat16 : OpenVINO bfloat16",
        *("exact-bfloat16", "openvino-bfloat16", _NO_SLOWER, _step),
    ),
    Goal(
        "decoder, exact bfloat16 : OpenVINO bfloat16",
        *("exact-bfloat16", "openvino-bfloat16", _NO_SLOWER, _decoder),
    ),
    Goal("step, exact float32 : tutorial", "exact-float32", "tutorial", _NO_SLOWER, _step),
    Goal("picture, exact float32 : diffusers", "exact-float32", "diffusers-float32", _NO_SLOWER),
    Goal(
        "step, exact float32 : OpenVINO float32",
        *("exact-float32", "openvino-float32", _NO_SLOWER, _step),
    ),
    Goal(
        "decoder, exact float32 : OpenVINO float32",
        *("exact-float32", "openvino-float32", _NO_SLOWER, _decoder),
    ),
    Goal("picture, fast float32 : exact float32", "fast-float32", "exact-float32", 1.6),
    Goal("picture, fast bfloat16 : exact bfloat16", "fast-bfloat16", "exact-bfloat16", 1.6),
)
REPLICAS_AT_LEAST = 1.95


@dataclass(frozen=True)
class Verdict:
    """One line: what was asked, the ratio with its spread if there is one, and the verdict."""

    what: str
    asked: str
    found: str
    verdict: str


def verdicts(results: Results) -> list[Verdict]:
    """One for each thing that is asked for, in a fixed order."""
    return [
        *(_speed(results, goal) for goal in GOALS),
        _replicas(results),
        _quality(results),
    ]


def _speed(results: Results, goal: Goal) -> Verdict:
    asked = f"at least {goal.at_least:g}×"
    if results.is_quick and goal.of_round is None:
        return Verdict(goal.what, asked, "quick pictures have too few steps", NOT_MEASURABLE)
    ours, theirs = results.of(goal.ours), results.of(goal.theirs)
    obstacles = [f"{one.label}: {one.obstacle}" for one in (ours, theirs) if one.obstacle]
    if obstacles:
        return Verdict(goal.what, asked, obstacles[0], NOT_MEASURABLE)

    def seconds(one: Round, steps: int) -> float:
        return goal.of_round(one) if goal.of_round else one.seconds_for(steps)

    # Round by round: what slows one process down mostly slows the one after it too.
    ratios = Figure.of(
        [seconds(b, theirs.steps) / seconds(a, ours.steps) for a, b in ours.beside(theirs)],
    )
    return _judged(goal.what, asked, ratios, goal.at_least)


def _judged(what: str, asked: str, ratios: Figure, at_least: float) -> Verdict:
    is_met = ratios.median >= at_least
    # Two digits, but where they would read as the other verdict.
    digits = 2 if (round(ratios.median, 2) >= at_least) == is_met else 4
    spread = f"({ratios.lowest:.2f} to {ratios.highest:.2f})"
    found = f"{ratios.median:.{digits}f}× {spread}"
    return Verdict(what, asked, found, MET if is_met else NOT_MET)


def _replicas(results: Results) -> Verdict:
    what, asked = "pictures per hour, two replicas : one", f"at least {REPLICAS_AT_LEAST:g}×"
    if results.replicas is None:
        return Verdict(what, asked, "not run: --quick, or only one core", NOT_MEASURABLE)
    pairs = zip(results.replicas["one"], results.replicas["two"], strict=True)
    return _judged(what, asked, Figure.of([two / one for one, two in pairs]), REPLICAS_AT_LEAST)


def _quality(results: Results) -> Verdict:
    what, asked = "scores, fast : exact (demo model)", f"at most {MAX_POINTS:g} points lower"
    if results.quality is None:
        return Verdict(what, asked, "not run: no prompts were asked for", NOT_MEASURABLE)
    percent = results.quality["percent"]
    fallen = {name: percent["exact"][name] - percent["fast"][name] for name in percent["exact"]}
    found = ", ".join(f"{name} {-points:+.1f}" for name, points in fallen.items())
    return Verdict(what, asked, found, MET if max(fallen.values()) <= MAX_POINTS else NOT_MET)
