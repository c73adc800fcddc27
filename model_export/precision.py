"""Which precision suits which processor: what the setting `auto` means.

bfloat16 halves a model's memory everywhere, but is only fast where the processor multiplies it
faster than float32: with AMX, or with AMD's AVX512_BF16. An Intel core takes several times as long
for AVX512_BF16's instruction as for one of float32, which has half the products (docs/benchmarks.md
has the figures of an Emerald Rapids without AMX). Without any of them TensorFlow converts every
operand to float32 and back.

Which machine series has which processor: Compute Engine, "CPU platforms"
(cloud.google.com/compute/docs/cpu-platforms). Which processor has which instructions: Intel and AMD
(Sapphire Rapids, Emerald Rapids and Granite Rapids have AMX and AVX512_BF16, EPYC Genoa and Turin
have AVX512_BF16; Cascade Lake, Ice Lake, Rome and Milan have neither).
"""

from __future__ import annotations

from pathlib import Path

from model_export.spec import FAMILY_DEFAULTS

AUTO = "auto"

BFLOAT16_SERIES = {
    "c3": "Sapphire Rapids",
    "c3d": "EPYC Genoa",
    "c4": "Emerald Rapids or Granite Rapids",
    "c4d": "EPYC Turin",
    "h3": "Sapphire Rapids",
    "n4": "Emerald Rapids",
    "z3": "Sapphire Rapids",
}
"""Machine series on which every machine is fast in bfloat16, with the reason."""

_CPU_INFO = Path("/proc/cpuinfo")


def of_machine_type(machine_type: str, family: str) -> str:
    """The precision for a Compute Engine machine type, like c3-standard-8."""
    return _precision(family, is_fast=machine_type.partition("-")[0] in BFLOAT16_SERIES)


def of_this_machine(family: str, cpu_info: Path = _CPU_INFO) -> str:
    """The precision for this machine's processor; float32 where Linux does not say."""
    said: dict[str, str] = {}
    if cpu_info.exists():
        for line in cpu_info.read_text().splitlines():
            name, _, value = line.partition(":")
            said.setdefault(name.strip(), value.strip())
    flags = said.get("flags", "").split()
    is_fast = "amx_bf16" in flags or (
        "avx512_bf16" in flags and said.get("vendor_id") == "AuthenticAMD"
    )
    return _precision(family, is_fast=is_fast)


def _precision(family: str, *, is_fast: bool) -> str:
    wanted = "bfloat16" if is_fast else "float32"
    known = FAMILY_DEFAULTS.get(family)
    return wanted if known is None or wanted in known.precisions else known.precisions[0]
