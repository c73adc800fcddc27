"""The family `demo`: the model that ships with this project."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_export.family import Family, OnProgress
from model_export.prediction_types import EPSILON
from model_export.sources import BUNDLED
from model_export.spec_error import SpecError, short
from model_export.stages import Stage

if TYPE_CHECKING:
    from model_export.networks import Networks
    from model_export.spec import ModelSpec

_LICENCE_FILE = Path(__file__).parents[1] / "assets" / "Apache-2.0.txt"
_SIZE_BYTES = 20_000_000
_NOTICE = (
    "The demo model of diffusion-serving.\n"
    "Its weights were trained by that project on pictures it draws itself, and are\n"
    "licensed under the Apache License, Version 2.0 (see LICENSE).\n"
)


@dataclass(frozen=True)
class Demo(Family):
    def check_weights(self, spec: ModelSpec) -> None:
        if spec.weights != BUNDLED:
            raise SpecError(
                "weights", f"must be {BUNDLED} for the demo model, not {short(spec.weights)}"
            )
        for key, value in (("loras", spec.loras), ("vae", spec.vae)):
            if value:
                raise SpecError(key, "must be empty for the demo model: use modelFamily sd14")
        if spec.prediction_type != EPSILON:
            raise SpecError("prediction_type", f"must be {EPSILON} for the demo model")

    def weights_sha256(self, spec: ModelSpec) -> str:
        return _networks().weights_sha256()

    def size_bytes(self, spec: ModelSpec) -> int:
        return _SIZE_BYTES

    def load(self, spec: ModelSpec, on_progress: OnProgress) -> Networks:
        return _networks().load(spec)

    def licence(self, spec: ModelSpec) -> str:
        return "Apache-2.0"

    def licence_files(self, spec: ModelSpec) -> Mapping[str, str]:
        return {"LICENSE": _LICENCE_FILE.read_text(encoding="utf-8"), "NOTICE": _NOTICE}


def _networks() -> Any:
    return importlib.import_module("model_export.demo.networks")


DEMO = Demo(
    name="demo",
    image_sizes=(64,),
    image_size=64,
    precisions=("float32",),
    guidance_scale=3.0,
    negative_prompt="",
    weights=BUNDLED,
    draws_quickly=True,
    peak_memory_bytes={"float32": {64: 900_000_000}},
    expected_seconds={
        Stage.LOAD: 15.0,
        Stage.TRACE: 9.0,
        Stage.SAVE: 7.0,
        Stage.DESCRIBE: 0.5,
        Stage.PUBLISH: 0.5,
    },
)
