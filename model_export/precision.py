"""Which precision suits which processor: the meaning of the setting `auto`.

bfloat16 halves a model's memory everywhere, but is only faster where the processor multiplies it
faster than float32: with AMX, or with AMD's AVX512_BF16. On an Intel core an AVX512_BF16
instruction takes several times as long as a float32 one, for twice the products. docs/benchmarks.md
has figures of a Zen 4, and of an Emerald Rapids without AMX. Without any of these instructions
TensorFlow converts every operand to float32 and back.

Which machine series has which processor: Compute Engine, "CPU platforms"
(cloud.google.com/compute/docs/cpu-platforms). Which processor has which instructions: Intel and AMD
(Sapphire Rapids, Emerald Rapids and Granite Rapids have AMX and AVX512_BF16, EPYC Genoa and Turin
have AVX512_BF16; Cascade Lake, Ice Lake, Rome and Milan have neither).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from model_export import families
from model_export.few_steps import ERROR_OF_ONE_STEP

if TYPE_CHECKING:
    from model_export.spec import ModelSpec

AUTO = "auto"
WHY_FLOAT32 = f"precision: {AUTO} is float32 here, because {ERROR_OF_ONE_STEP}"
"""Where the machine is faster in bfloat16."""

BFLOAT16_SERIES = {
    "c3": "Sapphire Rapids",
    "c3d": "EPYC Genoa",
    "c4": "Emerald Rapids or Granite Rapids",
    "c4d": "EPYC Turin",
    "h3": "Sapphire Rapids",
    "n4": "Emerald Rapids",
    "z3": "Sapphire Rapids",
}
"""Machine series whose processors are all fast in bfloat16, and those processors."""

_CPU_INFO = Path("/proc/cpuinfo")


def chosen_for(spec: ModelSpec, fastest: str) -> ModelSpec:
    """The spec, which is in float32, in the machine's fastest precision if it can draw in that."""
    return replace(spec, precision=fastest) if spec.steps >= spec.min_steps_in(fastest) else spec


def of_machine_type(machine_type: str, family: str) -> str:
    """The precision for a Compute Engine machine type, like c3-standard-8."""
    return _precision(family, is_fast=machine_type.partition("-")[0] in BFLOAT16_SERIES)


def of_this_machine(family: str, cpu_info: Path = _CPU_INFO) -> str:
    """The precision for this machine's processor; float32 if it is unknown."""
    reported: dict[str, str] = {}
    if cpu_info.exists():
        for line in cpu_info.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            reported.setdefault(name.strip(), value.strip())
    flags = reported.get("flags", "").split()
    is_fast = "amx_bf16" in flags or (
        "avx512_bf16" in flags and reported.get("vendor_id") == "AuthenticAMD"
    )
    return _precision(family, is_fast=is_fast)


def _precision(family: str, *, is_fast: bool) -> str:
    wanted = "bfloat16" if is_fast else "float32"
    known = families.BY_NAME.get(family)
    return wanted if known is None or wanted in known.precisions else known.precisions[0]
