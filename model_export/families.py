"""The model families by name: where their networks come from, and under which licence.

Imports neither TensorFlow nor a family's code until a function is called.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from model_export.networks import Networks
from model_export.spec import ModelSpec

_ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class Family:
    """module has `load(spec) -> Networks` and `weights_sha256() -> str`.

    licence is the SPDX name of the weights' licence, licence_file its text; notice goes into
    every exported model.
    """

    module: str
    licence: str
    licence_file: Path
    notice: str

    def load(self, spec: ModelSpec) -> Networks:
        return self._import().load(spec)

    def weights_sha256(self) -> str:
        """The checksum that stands for the weights in a fingerprint. Needs no TensorFlow."""
        return self._import().weights_sha256()

    def _import(self) -> ModuleType:
        return importlib.import_module(self.module)


_FAMILIES = {
    "demo": Family(
        module="model_export.demo.networks",
        licence="Apache-2.0",
        licence_file=_ASSETS / "Apache-2.0.txt",
        notice=(
            "The demo model of diffusion-serving.\n"
            "Its weights were trained by that project on pictures it draws itself, and are\n"
            "licensed under the Apache License, Version 2.0 (see LICENSE).\n"
        ),
    ),
}


def family(name: str) -> Family:
    """The family of that name, which `ModelSpec` has checked."""
    return _FAMILIES[name]


def fingerprint(spec: ModelSpec) -> str:
    """The name of the folder this spec is exported to, with the weights at hand."""
    return spec.fingerprint(family(spec.family).weights_sha256())
