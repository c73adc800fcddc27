"""The files of a diffusers folder, and what its configurations say.

The configurations are checked for what shapes do not show: the number of heads, the activation, the
noise schedule, the latent's scale.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from model_export.checkpoints.architecture import DECODER, TEXT_ENCODER, UNET
from model_export.download import WeightsError
from model_export.prediction_types import PREDICTION_TYPES

INDEX = "model_index.json"
_PIPELINES = ("StableDiffusionPipeline", "LatentConsistencyModelPipeline")
_FOLDERS = {UNET: "unet", TEXT_ENCODER: "text_encoder", DECODER: "vae"}
_STEMS = ("diffusion_pytorch_model", "model")
_MAX_JSON_BYTES = 4 * 2**20
_LATENT_SCALE = 0.18215
_SCHEDULER = "scheduler/scheduler_config.json"

_EXPECTED: Mapping[str, Mapping[str, Any]] = {
    "unet/config.json": {"attention_head_dim": 8, "act_fn": "silu"},
    "text_encoder/config.json": {"hidden_act": "quick_gelu", "num_attention_heads": 12},
    "vae/config.json": {"scaling_factor": _LATENT_SCALE},
    _SCHEDULER: {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "rescale_betas_zero_snr": False,
    },
}
"""What a configuration must say, where it says anything."""


@dataclass(frozen=True)
class Folder:
    """licence: what the model card says; prediction_type: what the scheduler says; else empty."""

    files: tuple[Path, ...]
    licence: str
    prediction_type: str


def read(path: Path) -> Folder:
    """Checks the configurations. Raises WeightsError for another kind of model."""
    kind = _json(path / INDEX).get("_class_name")
    if kind not in _PIPELINES:
        raise WeightsError(
            f"{path} is a model for {str(kind)[:60]!r}: use one for {' or '.join(_PIPELINES)}"
        )
    used = [path / INDEX]
    for name, expected in _EXPECTED.items():
        if (path / name).exists():
            used.append(path / name)
            _check(path / name, expected)
    return Folder(tuple(used), _licence(path / "README.md"), _prediction_type(path / _SCHEDULER))


def check_vae(path: Path) -> None:
    """Checks the configuration in a folder with a VAE alone. Raises WeightsError."""
    if (path / "config.json").exists():
        _check(path / "config.json", _EXPECTED["vae/config.json"])


def weights_files(path: Path, part: str) -> list[Path]:
    """The part's .safetensors files, in full precision if there are such; none if there are none.

    Raises WeightsError if there are others.
    """
    folder = path / _FOLDERS.get(part, part)
    for stem in _STEMS:
        for variant in ("", ".fp16"):
            whole = folder / f"{stem}{variant}.safetensors"
            if whole.exists():
                return [whole]
            for index in (
                folder / f"{stem}.safetensors.index{variant}.json",
                folder / f"{stem}{variant}.safetensors.index.json",
            ):
                if index.exists():
                    return _shards(index)
    if any(folder.glob("*.bin")):
        raise WeightsError(
            f"{folder} has pickles, which can run any code when they are read: use the model's "
            "version in .safetensors files"
        )
    return []


def _shards(index: Path) -> list[Path]:
    weight_map = _json(index).get("weight_map")
    names = list(weight_map.values()) if isinstance(weight_map, dict) else []
    for name in names:
        # A path could lead anywhere.
        if (
            not isinstance(name, str)
            or PurePath(name).suffix != ".safetensors"
            or (PurePath(name).name != name or "\\" in name)
        ):
            raise WeightsError(
                f"{index} names {str(name)[:60]!r}, which is no .safetensors file of its folder: "
                "download the model again"
            )
    if not names:
        raise WeightsError(f"{index} names no files: download the model again")
    return [index.parent / name for name in sorted(set(names))]


def _check(path: Path, expected: Mapping[str, Any]) -> None:
    found = _json(path)
    for key, value in expected.items():
        if found.get(key, value) != value:
            raise WeightsError(
                f"{path}: {key} is {str(found[key])[:60]}, and Stable Diffusion 1.x has {value}: "
                "use a model of that kind"
            )


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise WeightsError(f"{path} is missing: download the model again")
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise WeightsError(f"{path} is too large: download the model again")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise WeightsError(f"{path} is not JSON: download the model again") from None
    if not isinstance(document, dict):
        raise WeightsError(f"{path} is not a JSON object: download the model again")
    return document


def _prediction_type(scheduler: Path) -> str:
    found = _json(scheduler).get("prediction_type", "") if scheduler.exists() else ""
    if found not in ("", *PREDICTION_TYPES):
        raise WeightsError(
            f"{scheduler}: prediction_type is {str(found)[:60]}, and models of "
            f"{' and '.join(PREDICTION_TYPES)} are supported: use one of them"
        )
    return found


def _licence(card: Path) -> str:
    """The key `license` in a model card's first block."""
    if not card.is_file() or card.stat().st_size > _MAX_JSON_BYTES:
        return ""
    text = card.read_text(encoding="utf-8", errors="replace")
    block = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^license:[ \t]*([\w .+-]+)$", block[1], re.MULTILINE) if block else None
    return found[1].strip() if found else ""
