"""The contenders: each way of running Stable Diffusion, and what it needs of a machine."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from bench.speed.machine import Machine
from model_export.profiles import EXACT, FAST

TUTORIAL_STEPS = 30
"""The published tutorial's number of steps; keras_cv's loop takes the same."""
DEFAULT_STEPS = 20
FLOAT32, BFLOAT16 = "float32", "bfloat16"


@dataclass(frozen=True)
class Contender:
    """engine is the module in `bench.speed.engines` that draws; profile is for our own export."""

    key: str
    label: str
    engine: str
    precision: str
    steps: int = DEFAULT_STEPS
    profile: str = EXACT
    packages: tuple[str, ...] = ()

    def obstacle(self, machine: Machine) -> str | None:
        """Why this one cannot be measured here, or None."""
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            return f"{missing[0]} is not installed: pip install -r requirements-bench.txt"
        if self.precision == BFLOAT16 and not machine.multiplies_bfloat16:
            return "this CPU has neither AVX512_BF16 nor AMX"
        return None


TUTORIAL = Contender("tutorial", "the tutorial's graph", "served", FLOAT32, TUTORIAL_STEPS)
KERAS_CV = Contender(
    "keras_cv", "keras_cv's text_to_image", "keras_cv_loop", FLOAT32, TUTORIAL_STEPS
)
EXPORTS = tuple(
    Contender(
        f"{profile}-{precision}", f"this export, {profile}", "served", precision, profile=profile
    )
    for precision in (FLOAT32, BFLOAT16)
    for profile in (EXACT, FAST)
)
DIFFUSERS = tuple(
    Contender(
        f"diffusers-{precision}",
        "diffusers on torch",
        "diffusers_pipeline",
        precision,
        packages=("torch", "diffusers", "transformers"),
    )
    for precision in (FLOAT32, BFLOAT16)
)
OPENVINO = tuple(
    Contender(
        f"openvino-{precision}",
        "OpenVINO, static shapes",
        "openvino_loop",
        precision,
        packages=("openvino",),
    )
    for precision in (FLOAT32, BFLOAT16)
)
CONTENDERS = (TUTORIAL, KERAS_CV, *EXPORTS, *DIFFUSERS, *OPENVINO)
_GROUPS = (
    ("openvino-float32", "exact-float32", "diffusers-float32"),
    ("tutorial", "exact-float32", "fast-float32", "exact-bfloat16"),
    ("openvino-bfloat16", "exact-bfloat16", "diffusers-bfloat16", "fast-bfloat16"),
    ("keras_cv",),
)
"""Any two contenders that `verdicts` compares share a group."""
_GROUP_BYTES, _GROUP_PIXELS = 25 * 10**9, 384
"""This much memory holds all processes of any group, for pictures up to this size."""


def each_once(some: Sequence[Sequence[Contender]]) -> list[list[Contender]]:
    """The groups, each without the contenders of earlier ones, so that each is loaded once."""
    kept: list[list[Contender]] = []
    for group in some:
        before = {one.key for earlier in kept for one in earlier}
        if left := [one for one in group if one.key not in before]:
            kept.append(left)
    return kept


def groups(
    machine: Machine, image_size: int, measurable: Sequence[Contender]
) -> list[list[Contender]]:
    """Which contenders are loaded together and take turns; one at a time where memory is short.

    They take turns because a machine is often slow for some minutes. A contender may be in two
    groups, but a group that is a subset of another is left out.
    """
    if machine.memory_bytes < _GROUP_BYTES or image_size > _GROUP_PIXELS:
        return [[one] for one in measurable]
    by_key = {one.key: one for one in measurable}
    found = [tuple(by_key[key] for key in group if key in by_key) for group in _GROUPS]
    return [
        list(some)
        for some in dict.fromkeys(found)
        if not any({*some} < {*other} for other in found)
    ]
