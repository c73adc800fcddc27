"""The machine that a measurement was made on."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = ("tensorflow", "keras", "keras-cv", "openvino", "nncf", "torch", "diffusers")
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
_MULTIPLY_BFLOAT16 = {"avx512_bf16", "amx_bf16"}


@dataclass(frozen=True)
class Machine:
    """A processor, its memory, and the versions of the packages that compute on it.

    load is the load average over the minute before the measurement. products are the GFLOP/s of
    `bench.speed.products`, by number type.
    """

    processor: str
    cores: int
    memory_bytes: int
    instructions: tuple[str, ...]
    system: str
    versions: dict[str, str]
    load: float
    products: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def multiplies_bfloat16(self) -> bool:
        return bool(_MULTIPLY_BFLOAT16 & {*self.instructions})

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"instructions": list(self.instructions)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Machine:
        fields: dict[str, Any] = {**values, "instructions": tuple(values["instructions"])}
        return cls(**fields)


def this_machine(cpu_info: Path = Path("/proc/cpuinfo")) -> Machine:
    """What Linux reports about it."""
    reported: dict[str, str] = {}
    for line in cpu_info.read_text(encoding="utf-8").splitlines() if cpu_info.exists() else ():
        name, _, value = line.partition(":")
        reported.setdefault(name.strip(), value.strip())
    flags = {*reported.get("flags", "").split()}
    return Machine(
        processor=reported.get("model name", platform.processor()),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        instructions=tuple(name for name in _INSTRUCTIONS if name in flags),
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        versions={name: found for name in _PACKAGES if (found := _version(name))},
        load=os.getloadavg()[0],
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
