"""The family `sd14`: Stable Diffusion 1.x in keras_cv's classes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_export import sources
from model_export.decoders import is_tiny
from model_export.family import Family, OnProgress
from model_export.prediction_types import EPSILON, V
from model_export.profiles import EXACT, INSTANT
from model_export.sources import (
    FOLDER_INDEX,
    OFFICIAL,
    OWN,
    RANDOM,
    WEIGHTS_LICENCE,
    WEIGHTS_LICENCE_URL,
    path_of,
    random_seed,
)
from model_export.spec_error import SpecError, short
from model_export.stages import Stage

if TYPE_CHECKING:
    from model_export.download import RemoteFile
    from model_export.networks import Networks
    from model_export.spec import ModelSpec


@dataclass(frozen=True)
class Sd14(Family):
    def check_weights(self, spec: ModelSpec) -> None:
        sources.loras(spec.loras)
        sources.vae(spec.vae)
        if spec.prediction_type == V:
            _check_no_lcm_lora(spec)
        if random_seed(spec.weights) is not None:
            return
        if "\0" in spec.weights:
            raise SpecError("weights", f"is no path: {short(spec.weights)}")
        if spec.weights not in (OFFICIAL, OWN) and path_of(spec.weights) is None:
            raise SpecError(
                "weights",
                f"must be {OFFICIAL}, {RANDOM}, {RANDOM}:SEED or the absolute path of a "
                f".safetensors file or a folder, not {short(spec.weights)}",
            )
        if spec.weights == OWN or spec.checkpoint_path:
            _check_own_licence(spec.accept_licence)
        elif path_of(spec.weights) and spec.accept_licence == OWN:
            raise SpecError(
                "weights",
                f"{short(spec.weights)} is missing, or a folder without {FOLDER_INDEX}: name a "
                f".safetensors file or a diffusers folder (the official files are under the "
                f"licence {WEIGHTS_LICENCE})",
            )
        elif spec.accept_licence != WEIGHTS_LICENCE:
            raise SpecError(
                "accept_licence",
                f"the weights have the licence {WEIGHTS_LICENCE}: read it ({WEIGHTS_LICENCE_URL}), "
                "and accept it by giving its name here",
            )
        elif spec.prediction_type != EPSILON:
            raise SpecError("prediction_type", f"must be {EPSILON} for the official weights")

    def weights_sha256(self, spec: ModelSpec) -> str:
        checksum = _weights(spec).checksum(spec)
        if spec.checkpoint_path is not None:
            checksum = _module("licence").joined(checksum, spec)
        return checksum if not is_tiny(spec.decoder) else _tiny_decoder().joined(checksum, spec)

    def size_bytes(self, spec: ModelSpec) -> int:
        return _module("weights").size_bytes(spec)

    def has_guidance_embedding(self, spec: ModelSpec) -> bool:
        return spec.checkpoint_path is not None and _module("own_files").is_full_lcm(spec)

    def prediction_type(self, spec: ModelSpec) -> str:
        if spec.checkpoint_path is None:
            return EPSILON
        return _module("own_files").prediction_type(spec)

    def needs_fetching(self, spec: ModelSpec) -> bool:
        return _module("weights").are_official(spec) or bool(_others(spec))

    def fetch(self, spec: ModelSpec, on_progress: OnProgress) -> None:
        _module("weights").fetch(spec, on_progress, _others(spec))

    def downloads(self, spec: ModelSpec) -> Path | None:
        return _module("weights").downloads(spec, _additions(spec))

    def load(self, spec: ModelSpec, on_progress: OnProgress) -> Networks:
        return _module("networks").load(spec, on_progress)

    def licence(self, spec: ModelSpec) -> str:
        return _module("licence").name(spec)

    def licence_files(self, spec: ModelSpec) -> Mapping[str, str]:
        files = dict(_module("licence").files(spec))
        if _module("own_files").needs_lcm_lora(spec):
            files["NOTICE"] += "\n" + _lcm_lora().NOTICE
        return files


def _check_own_licence(accepted: str) -> None:
    if accepted not in (OWN, WEIGHTS_LICENCE):
        raise SpecError(
            "accept_licence",
            f"must be {OWN}, by which you say that you have read and keep the licence of your "
            f"files, or {WEIGHTS_LICENCE} if that is theirs",
        )


def _others(spec: ModelSpec) -> list[RemoteFile]:
    """What has to be downloaded besides the official files."""
    is_own = spec.checkpoint_path is not None
    has_no_licence = is_own and _module("licence").needs_text(spec)
    text = [_module("weights").LICENCE_FILE] if has_no_licence else []
    return text + _additions(spec)


def _additions(spec: ModelSpec) -> list[RemoteFile]:
    found: list[RemoteFile] = []
    if _module("own_files").needs_lcm_lora(spec):
        found.append(_lcm_lora().FILE)
    if _tiny_decoder().has_taesd(spec):
        found.append(_tiny_decoder().FILE)
    return found


def _check_no_lcm_lora(spec: ModelSpec) -> None:
    if any(lora.is_lcm and lora.strength for lora in sources.loras(spec.loras)):
        raise SpecError(
            "profile" if spec.profile == INSTANT else "loras",
            f"LCM-LoRA is for models that predict the noise, and this one predicts v: use {EXACT}, "
            "without it",
        )


def _weights(spec: ModelSpec) -> Any:
    module = _module("own_files")
    return module if module.are_used(spec) else _module("weights")


def _module(name: str) -> Any:
    return importlib.import_module(f"model_export.sd14.{name}")


def _lcm_lora() -> Any:
    return importlib.import_module("model_export.lora.lcm")


def _tiny_decoder() -> Any:
    return importlib.import_module("model_export.tiny_decoder.weights")


SD14 = Sd14(
    name="sd14",
    # The U-Net halves the latent, an eighth of the picture, three times, and KerasCV requires
    # multiples of 128; beyond 768 px these weights repeat the subject in a picture.
    image_sizes=tuple(range(256, 769, 128)),
    image_size=384,
    precisions=("float32", "bfloat16"),
    guidance_scale=7.5,
    # The published TF Serving tutorial's.
    negative_prompt=(
        "ugly, tiling, poorly drawn hands, poorly drawn feet, poorly drawn face, out of frame, "
        "mutation, mutated, extra limbs, extra legs, extra arms, disfigured, deformed, "
        "cross-eye, body out of frame, blurry, bad art, bad anatomy, blurred, text, watermark, "
        "grainy"
    ),
    weights=OFFICIAL,
    draws_quickly=False,
    peak_memory_bytes={
        "float32": {
            256: 6_800_000_000,
            384: 7_050_000_000,
            512: 7_300_000_000,
            768: 8_200_000_000,
        },
        "bfloat16": {
            256: 4_050_000_000,
            384: 4_500_000_000,
            512: 4_600_000_000,
            768: 5_550_000_000,
        },
    },
    expected_seconds={
        Stage.FETCH: 300.0,
        Stage.LOAD: 60.0,
        Stage.TRACE: 60.0,
        Stage.SAVE: 40.0,
        Stage.DESCRIBE: 20.0,
        Stage.PUBLISH: 40.0,
    },
    has_tiny_decoder=True,
)
