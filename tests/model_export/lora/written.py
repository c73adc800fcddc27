"""A LoRA's files as the tools write them, each with its scale in its own place."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from model_export.checkpoints.architecture import TEXT_ENCODER, UNET
from tests.model_export.checkpoints.state_dicts import TINY, write
from tests.model_export.lora.loras import Lora

PREFIXES = {UNET: "", TEXT_ENCODER: "text_model."}


def kohya(lora: Lora, folder: Path) -> list[Path]:
    return [write(folder / "lora.safetensors", lora.as_kohya(TINY))]


def diffusers(lora: Lora, folder: Path) -> list[Path]:
    tensors = lora.spelled(
        lambda part, module: f"{part}.{PREFIXES[part]}{module}",
        ".lora_A.weight",
        ".lora_B.weight",
        TINY,
    )
    config = {
        f"{part}.{key}": value
        for part in PREFIXES
        for key, value in {"r": lora.rank, "lora_alpha": lora.alpha}.items()
    }
    metadata = {"lora_adapter_metadata": json.dumps(config)}
    return [write(folder / "pytorch_lora_weights.safetensors", tensors, metadata=metadata)]


def peft(lora: Lora, folder: Path) -> list[Path]:
    """A folder for each part."""
    for part in PREFIXES:
        layers = tuple(layer for layer in lora.layers if layer[0] == part)
        tensors = replace(lora, layers=layers).spelled(
            lambda part, module: f"base_model.model.{PREFIXES[part]}{module}",
            ".lora_A.weight",
            ".lora_B.weight",
            TINY,
        )
        write(folder / part / "adapter_model.safetensors", tensors)
        config = {"r": lora.rank, "lora_alpha": lora.alpha}
        (folder / part / "adapter_config.json").write_text(json.dumps(config))
    return [folder / part for part in PREFIXES]


TOOLS: Mapping[str, Callable[[Lora, Path], list[Path]]] = {
    "kohya": kohya,
    "diffusers": diffusers,
    "peft": peft,
}
