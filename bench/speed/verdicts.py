"""Targets for the measured ratios, and whether they are met."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.speed.results import Figure, Results, Round
from model_export.demo.compare import MAX_POINTS

MET, NOT_MET, NOT_MEASURABLE = "met", "not met", "not measurable here"
REPORTED = "reported"
"""Of a ratio without a target."""
EQUAL_WITHIN = 0.02
""""No slower" allows for this much noise."""


def _step(one: Round) -> float:
    return one.step_seconds


def _decoder(one: Round) -> float:
    return one.decoder_seconds


@dataclass(frozen=True)
class Goal:
    """How many times as fast as the second contender the first should be, and at what.

    at_least is None for a ratio that is only reported. of_round is None for a whole picture, with
    each contender's own number of steps. unless_faster: a contender whose pictures, if they take
    less time than the second one's, leave this ratio without a target.
    """

    what: str
    ours: str
    theirs: str
    at_least: float | None
    of_round: Callable[[Round], float] | None = None
    unless_faster: str = ""

    def target(self, results: Results) -> float | None:
        if self.unless_faster and results.has(self.unless_faster):
            rival, theirs = results.of(self.unless_faster), results.of(self.theirs)
            if rival.rounds and theirs.rounds and rival.picture().median < theirs.picture().median:
                return None
        return self.at_least


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
    *(
        goal
        for kind, other in (("float32", "bfloat16"), ("bfloat16", "float32"))
        for goal in (
            Goal(
                f"picture, instant {kind} : exact {kind}", f"instant-{kind}", f"exact-{kind}", 7.0
            ),
            Goal(
                f"picture, instant {kind} : OpenVINO like it {kind}",
                *(f"instant-{kind}", f"openvino-instant-{kind}", 0.85),
                unless_faster=f"openvino-instant-{other}",
            ),
            Goal(
                f"picture, instant {kind} : OpenVINO with int8 weights {kind}",
                *(f"instant-{kind}", f"openvino-int8-{kind}", None),
            ),
        )
    ),
)
REPLICAS_AT_LEAST = 1.95


@dataclass(frozen=True)
class Verdict:
    """One line: the target, the ratio with its spread if there is one, and the verdict."""

    what: str
    target: str
    found: str
    verdict: str


def verdicts(results: Results) -> list[Verdict]:
    """One for each goal whose contenders the run knows, in a fixed order.

    A run of some contenders has no others, unless it scored pictures.
    """
    return [
        *(_speed(results, goal) for goal in GOALS if results.has(goal.ours, goal.theirs)),
        *([] if results.is_part else [_replicas(results)]),
        *([] if results.is_part and results.quality is None else [_quality(results)]),
    ]


def _speed(results: Results, goal: Goal) -> Verdict:
    at_least = goal.target(results)
    target = "none" if at_least is None else f"at least {at_least:g}×"
    if results.is_quick and goal.of_round is None:
        return Verdict(goal.what, target, "quick pictures have too few steps", NOT_MEASURABLE)
    ours, theirs = results.of(goal.ours), results.of(goal.theirs)
    obstacles = [f"{one.label}: {one.obstacle}" for one in (ours, theirs) if one.obstacle]
    if obstacles:
        return Verdict(goal.what, target, obstacles[0], NOT_MEASURABLE)

    def seconds(one: Round, steps: int) -> float:
        return goal.of_round(one) if goal.of_round else one.seconds_for(steps)

    # Round by round: what slows one process usually slows the next one too.
    ratios = Figure.of(
        [seconds(b, theirs.steps) / seconds(a, ours.steps) for a, b in ours.beside(theirs)],
    )
    return _judged(goal.what, target, ratios, at_least)


def _judged(what: str, target: str, ratios: Figure, at_least: float | None) -> Verdict:
    spread = f"({ratios.lowest:.2f} to {ratios.highest:.2f})"
    if at_least is None:
        return Verdict(what, target, f"{ratios.median:.2f}× {spread}", REPORTED)
    is_met = ratios.median >= at_least
    # Two digits, unless rounding would suggest the other verdict.
    digits = 2 if (round(ratios.median, 2) >= at_least) == is_met else 4
    found = f"{ratios.median:.{digits}f}× {spread}"
    return Verdict(what, target, found, MET if is_met else NOT_MET)


def _replicas(results: Results) -> Verdict:
    what, target = "pictures per hour, two replicas : one", f"at least {REPLICAS_AT_LEAST:g}×"
    if results.replicas is None:
        return Verdict(what, target, "not run: --quick, or only one core", NOT_MEASURABLE)
    pairs = zip(results.replicas["one"], results.replicas["two"], strict=True)
    return _judged(what, target, Figure.of([two / one for one, two in pairs]), REPLICAS_AT_LEAST)


def _quality(results: Results) -> Verdict:
    what, target = "scores, fast : exact (demo model)", f"at most {MAX_POINTS:g} points lower"
    if results.quality is None:
        return Verdict(what, target, "not run: --prompts is 0", NOT_MEASURABLE)
    percent = results.quality["percent"]
    fallen = {name: percent["exact"][name] - percent["fast"][name] for name in percent["exact"]}
    found = ", ".join(f"{name} {-points:+.1f}" for name, points in fallen.items())
    return Verdict(what, target, found, MET if max(fallen.values()) <= MAX_POINTS else NOT_MET)
