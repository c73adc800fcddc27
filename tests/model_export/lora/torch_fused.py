"""Two LoRAs, written and merged by the tools themselves.

python -m tests.model_export.lora.torch_fused FOLDER

For each tool, FOLDER gets its files and fused.npz, with every weight that they change. Needs torch,
diffusers, transformers and peft, but none of this project's other packages.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from diffusers.training_utils import _collate_lora_metadata
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.tuners.lora import LoraLayer

from model_export.checkpoints.architecture import TEXT_ENCODER, UNET
from tests.model_export.checkpoints.state_dicts import TINY
from tests.model_export.checkpoints.torch_modules import (
    TINY_SIZES,
    Parts,
    decoder,
    fuse,
    text_encoder,
    unet,
)
from tests.model_export.lora import written
from tests.model_export.lora.loras import PAIR, Lora


def parts() -> Parts:
    return tuple(make(TINY, sizes=TINY_SIZES) for make in (text_encoder, unet, decoder))


def kohya(folder: Path) -> Parts:
    """Its files are this project's: kohya's tools have no library."""
    files = [path for lora in PAIR for path in written.kohya(lora, folder / lora.name)]
    made = parts()
    fuse(made, files, [lora.strength for lora in PAIR])
    return made


def diffusers(folder: Path) -> Parts:
    """Files as its training scripts write them."""
    for lora in PAIR:
        encode, predict, _ = parts()
        layers: dict[str, Any] = {}
        for part, model in ((UNET, predict), (TEXT_ENCODER, encode)):
            model.add_adapter(config(lora, part))
            set_peft_model_state_dict(model, factors(lora, part, ""))
            layers[f"{part}_lora_layers"] = get_peft_model_state_dict(model)
        metadata = _collate_lora_metadata({UNET: predict, TEXT_ENCODER: encode})
        StableDiffusionPipeline.save_lora_weights(folder / lora.name, **layers, **metadata)
    made = parts()
    files = [folder / lora.name / "pytorch_lora_weights.safetensors" for lora in PAIR]
    fuse(made, files, [lora.strength for lora in PAIR])
    return made


def peft(folder: Path) -> Parts:
    """A folder for each model, merged by peft."""
    made = parts()
    for lora in PAIR:
        fresh = parts()
        for part, index in ((TEXT_ENCODER, 0), (UNET, 1)):
            path = folder / lora.name / part
            writer: Any = get_peft_model(fresh[index], config(lora, part))
            set_peft_model_state_dict(writer, factors(lora, part, "base_model.model."))
            writer.save_pretrained(path)
            adapted: Any = PeftModel.from_pretrained(made[index], path)
            for layer in adapted.modules():
                if isinstance(layer, LoraLayer):
                    layer.set_scale("default", lora.strength)
            adapted.merge_and_unload()
    return made


def config(lora: Lora, part: str) -> LoraConfig:
    ranks = {module: values["down"].shape[0] for (_, module), values in of_part(lora, part).items()}
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=list(ranks),
        rank_pattern={module: rank for module, rank in ranks.items() if rank != lora.rank},
    )


def factors(lora: Lora, part: str, prefix: str) -> dict[str, torch.Tensor]:
    ends = {"down": "lora_A.weight", "up": "lora_B.weight"}
    return {
        f"{prefix}{module}.{ends[factor]}": torch.from_numpy(values)
        for (_, module), both in of_part(lora, part).items()
        for factor, values in both.items()
    }


def of_part(lora: Lora, part: str) -> dict[Any, dict[str, np.ndarray]]:
    return {layer: values for layer, values in lora.factors(TINY) if layer[0] == part}


def changed(made: Parts) -> dict[str, np.ndarray]:
    """Every weight that differs, by part and canonical name."""
    found: dict[str, np.ndarray] = {}
    for part, before, after in zip((TEXT_ENCODER, UNET), parts(), made, strict=False):
        for name, values in after.state_dict().items():
            if not torch.equal(values, before.state_dict()[name]):
                found[f"{part}/{name.removeprefix('text_model.')}"] = values.numpy()
    return found


TOOLS: Mapping[str, Callable[[Path], Parts]] = {
    "kohya": kohya,
    "diffusers": diffusers,
    "peft": peft,
}

if __name__ == "__main__":
    for tool, merged_by in TOOLS.items():
        target = Path(sys.argv[1]) / tool
        with torch.no_grad():
            merged: Any = changed(merged_by(target))
        np.savez_compressed(target / "fused.npz", **merged)
