"""The contenders: each way of running Stable Diffusion, and what it needs of a machine."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.speed.machine import Machine
from model_export.profiles import EXACT, FAST

TUTORIAL_STEPS = 30
"""The published tutorial's number of steps; keras_cv's loop takes the same."""
DEFAULT_STEPS = 20
FLOAT32, BFLOAT16 = "float32", "bfloat16"


@dataclass(frozen=True)
class Contender:
    """engine is the module in `bench.speed.engines` that draws; profile is for our own export.

    sampler: one for few steps, with the tiny decoder; empty for the default and the full one.
    has_int8_weights: stored so; precision is what the layers compute in that cannot use them so.
    """

    key: str
    label: str
    engine: str
    precision: str
    steps: int = DEFAULT_STEPS
    profile: str = EXACT
    packages: tuple[str, ...] = ()
    sampler: str = ""
    has_int8_weights: bool = False

    @property
    def fewest_steps(self) -> int:
        """Of a picture: our distilled models draw no single step in bfloat16."""
        is_rough = self.engine == "served" and self.sampler and self.precision == BFLOAT16
        return 2 if is_rough else 1

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
INSTANT_STEPS = 4
_PROFILES = tuple(
    Contender(
        f"{profile}-{precision}", f"this export, {profile}", "served", precision, profile=profile
    )
    for precision in (FLOAT32, BFLOAT16)
    for profile in (EXACT, FAST)
)
_FEW_STEPS = tuple(
    Contender(f"{key}-{precision}", f"this export, {label}", "served", precision, **values)
    for precision in (FLOAT32, BFLOAT16)
    for key, label, values in (
        ("instant", "instant", {"steps": INSTANT_STEPS, "sampler": "lcm"}),
        ("one-step", "tiny decoder", {"steps": 1, "sampler": "euler_trailing"}),
    )
    if (key, precision) != ("one-step", BFLOAT16)  # which loses too much in one step
)
EXPORTS = (*_PROFILES, *_FEW_STEPS)
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
OPENVINO_INSTANT = tuple(
    Contender(
        f"openvino-instant-{precision}",
        "OpenVINO, like instant",
        "openvino_loop",
        precision,
        INSTANT_STEPS,
        packages=("openvino",),
        sampler="lcm",
    )
    for precision in (FLOAT32, BFLOAT16)
)
"""The settings of FastSD CPU: LCM, four steps without guidance, the tiny decoder."""
OPENVINO_INT8 = tuple(
    replace(
        one,
        key=f"openvino-int8-{one.precision}",
        label=f"{one.label}, int8 weights",
        packages=("openvino", "nncf"),
        has_int8_weights=True,
    )
    for one in OPENVINO_INSTANT
)
"""The same with 8-bit weights, as in FastSD CPU's models whose names end in `openvino-int8`."""
CONTENDERS = (
    TUTORIAL,
    KERAS_CV,
    *EXPORTS,
    *DIFFUSERS,
    *OPENVINO,
    *OPENVINO_INSTANT,
    *OPENVINO_INT8,
)
_GROUPS = (
    ("openvino-float32", "exact-float32", "diffusers-float32"),
    ("tutorial", "exact-float32", "fast-float32", "exact-bfloat16"),
    ("openvino-bfloat16", "exact-bfloat16", "diffusers-bfloat16", "fast-bfloat16"),
    ("openvino-instant-float32", "instant-float32", "exact-float32"),
    ("openvino-int8-float32", "instant-float32", "one-step-float32"),
    ("openvino-instant-bfloat16", "instant-bfloat16", "exact-bfloat16"),
    ("openvino-int8-bfloat16", "instant-bfloat16"),
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
