"""A load test's plan: at a fixed concurrency, at a rate, or as in the tutorial."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from prediction.errors import InputRefusedError
from prediction.limits import PictureRequest

MAX_IN_FLIGHT = 1000
"""Each request in flight takes a thread."""

# From the notebook of the published guide to Stable Diffusion with TensorFlow Serving on GKE:
# github.com/thushv89/tf-serving-gke, notebooks/predict_stabe_diffusion.ipynb.
TUTORIAL_PROMPTS = (
    "A wine glass made from lego bricks, rainbow colored liquid being poured into it, "
    "hyper realistic, high detail",
    "A staircase made from color pencils, hyper realistic, high detail",
    "A ferrari car in the space astronaut driving it, futuristic, hyper realistic, high detail",
    "a dragon covered with weapons fighting an army, fire, explosions, hyper realistic, "
    "high detail",
    "A sawing girl in a boat, hyper realistic, high detail",
)

# The guide's parallel run: 3 workers, request i not before min(20·i, 60) s.
TUTORIAL_WORKERS = 3
TUTORIAL_STAGGER_SECONDS = 20.0
TUTORIAL_LONGEST_STAGGER = 3


@dataclass(frozen=True)
class Job:
    """One request, sent no earlier than `at_seconds` after the start of the run."""

    number: int
    request: PictureRequest
    at_seconds: float = 0.0


@dataclass(frozen=True)
class Plan:
    """Jobs in the order of their start, and how many may be in flight.

    from_schedule: measure latency from `at_seconds`, even if the request is sent later because too
    many are in flight. Otherwise a slow server would delay the very requests that show how slow it
    is ("coordinated omission").
    """

    jobs: tuple[Job, ...]
    workers: int
    from_schedule: bool
    description: str


def at_a_time(requests: Sequence[PictureRequest], workers: int) -> Plan:
    """Closed loop: each worker sends its next request when its last one has finished."""
    if not 1 <= workers <= MAX_IN_FLIGHT:
        raise InputRefusedError(f"--concurrency must be from 1 to {MAX_IN_FLIGHT}, not {workers}")
    return Plan(
        _jobs(requests, [0.0] * len(requests)),
        min(workers, len(requests)),
        from_schedule=False,
        description=f"{len(requests)} requests, {workers} at a time",
    )


def at_a_rate(requests: Sequence[PictureRequest], per_second: float, seed: int) -> Plan:
    """Open loop: a Poisson process, whose gaps are exponential with mean 1/rate."""
    # Written so that NaN, which compares false with everything, is refused too.
    if not 0 < per_second < math.inf:
        raise InputRefusedError(f"--rate must be above 0 requests per second, not {per_second:g}")
    rng = random.Random(seed)
    times: list[float] = []
    now = 0.0
    for _ in requests:
        now += rng.expovariate(per_second)
        times.append(now)
    return Plan(
        _jobs(requests, times),
        min(MAX_IN_FLIGHT, len(requests)),
        from_schedule=True,
        description=f"{len(requests)} requests, {per_second:g} per second (Poisson)",
    )


def one_after_another(requests: Sequence[PictureRequest]) -> Plan:
    """The tutorial's first run."""
    plan = at_a_time(requests, 1)
    return Plan(plan.jobs, 1, False, f"{len(requests)} requests, one after another")


def staggered(
    requests: Sequence[PictureRequest], stagger_seconds: float = TUTORIAL_STAGGER_SECONDS
) -> Plan:
    """The tutorial's second run: three workers, staggered so that a second pod can start."""
    if not 0 <= stagger_seconds < math.inf:
        raise InputRefusedError(f"--stagger must be 0 seconds or more, not {stagger_seconds:g}")
    times = [stagger_seconds * min(i, TUTORIAL_LONGEST_STAGGER) for i in range(len(requests))]
    return Plan(
        _jobs(requests, times),
        min(TUTORIAL_WORKERS, len(requests)),
        from_schedule=False,
        description=(
            f"{len(requests)} requests, {TUTORIAL_WORKERS} at a time, the first ones "
            f"{stagger_seconds:g} s apart"
        ),
    )


def _jobs(requests: Sequence[PictureRequest], times: Sequence[float]) -> tuple[Job, ...]:
    return tuple(
        Job(number, request, at)
        for number, (request, at) in enumerate(zip(requests, times, strict=True), start=1)
    )
