"""The model families by name: where their networks come from, and their licence.

Imports neither TensorFlow nor a family's code until a function is called.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Protocol

from model_export.networks import Networks
from model_export.spec import ModelSpec

OnProgress = Callable[[float], None]
"""Called with the fraction that is done, from 0 to 1."""


class Family(Protocol):
    """A family's networks, the checksum of their weights, and the weights' licence."""

    def weights_sha256(self, spec: ModelSpec) -> str:
        """Part of every fingerprint. Needs neither TensorFlow nor the weights themselves."""
        ...

    def size_bytes(self, spec: ModelSpec) -> int:
        """About how much disk space the exported model takes."""
        ...

    def needs_fetching(self, spec: ModelSpec) -> bool: ...

    def fetch(self, spec: ModelSpec, on_progress: OnProgress) -> None:
        """Downloads the weights and checks them."""
        ...

    def downloads(self, spec: ModelSpec) -> Path | None:
        """The folder with what `fetch` has downloaded so far; None if there is nothing."""
        ...

    def load(self, spec: ModelSpec, on_progress: OnProgress) -> Networks: ...

    def licence(self, spec: ModelSpec) -> str:
        """The name of the weights' licence."""
        ...

    def licence_files(self, spec: ModelSpec) -> Mapping[str, str]:
        """Texts by file name to publish with the model: at least LICENSE and NOTICE."""
        ...


class _Demo:
    """The model that ships with this project."""

    _LICENCE_FILE = Path(__file__).parent / "assets" / "Apache-2.0.txt"
    _SIZE_BYTES = 20_000_000
    _NOTICE = (
        "The demo model of diffusion-serving.\n"
        "Its weights were trained by that project on pictures it draws itself, and are\n"
        "licensed under the Apache License, Version 2.0 (see LICENSE).\n"
    )

    def weights_sha256(self, spec: ModelSpec) -> str:
        return _module("model_export.demo.networks").weights_sha256()

    def size_bytes(self, spec: ModelSpec) -> int:
        return self._SIZE_BYTES

    def needs_fetching(self, spec: ModelSpec) -> bool:
        return False

    def fetch(self, spec: ModelSpec, on_progress: OnProgress) -> None:
        """Nothing to do: the weights are in the checkout."""

    def downloads(self, spec: ModelSpec) -> Path | None:
        return None

    def load(self, spec: ModelSpec, on_progress: OnProgress) -> Networks:
        return _module("model_export.demo.networks").load(spec)

    def licence(self, spec: ModelSpec) -> str:
        return "Apache-2.0"

    def licence_files(self, spec: ModelSpec) -> Mapping[str, str]:
        return {"LICENSE": self._LICENCE_FILE.read_text(encoding="utf-8"), "NOTICE": self._NOTICE}


class _Sd14:
    """Stable Diffusion 1.4, from keras_cv's classes."""

    def weights_sha256(self, spec: ModelSpec) -> str:
        return _module("model_export.sd14.weights").checksum(spec)

    def size_bytes(self, spec: ModelSpec) -> int:
        return _module("model_export.sd14.weights").size_bytes(spec)

    def needs_fetching(self, spec: ModelSpec) -> bool:
        return spec.random_seed is None

    def fetch(self, spec: ModelSpec, on_progress: OnProgress) -> None:
        _module("model_export.sd14.weights").fetch(spec, on_progress)

    def downloads(self, spec: ModelSpec) -> Path | None:
        return _module("model_export.sd14.weights").downloads(spec)

    def load(self, spec: ModelSpec, on_progress: OnProgress) -> Networks:
        return _module("model_export.sd14.networks").load(spec, on_progress)

    def licence(self, spec: ModelSpec) -> str:
        return _module("model_export.sd14.licence").name(spec)

    def licence_files(self, spec: ModelSpec) -> Mapping[str, str]:
        return _module("model_export.sd14.licence").files(spec)


_FAMILIES: dict[str, Family] = {"demo": _Demo(), "sd14": _Sd14()}


def family(name: str) -> Family:
    """The family of that name; `ModelSpec` has checked it."""
    return _FAMILIES[name]


def fingerprint(spec: ModelSpec) -> str:
    """The name of the folder this spec is exported to."""
    return spec.fingerprint(family(spec.family).weights_sha256(spec))


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)
