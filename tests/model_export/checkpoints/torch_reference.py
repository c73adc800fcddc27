"""The same random checkpoint in diffusers: what its networks answer, as vectors to compare with.

python -m tests.model_export.checkpoints.torch_reference OUT.npz

Needs torch, diffusers, transformers and peft, but none of this project's other packages.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.model_export.checkpoints.drawn import GIVEN_CONTEXT, LATENT, TIMESTEP, TOKENS
from tests.model_export.checkpoints.state_dicts import write
from tests.model_export.checkpoints.torch_modules import Parts, decoder, fuse, text_encoder, unet
from tests.model_export.lora.loras import DETAIL, STYLE


def answers(parts: Parts) -> dict[str, np.ndarray]:
    encode, predict, decode = parts
    context = encode(torch.tensor([TOKENS]))[0]
    latent = torch.from_numpy(LATENT)
    noise = predict(latent, TIMESTEP, torch.from_numpy(GIVEN_CONTEXT)).sample
    image = decode.decode(latent / 0.18215).sample
    return {
        "context": context[0, :, ::16].numpy(),
        "noise": noise[0].permute(1, 2, 0).numpy(),
        "image": image[0, :, ::8, ::8].permute(1, 2, 0).numpy(),
    }


def fused(parts: Parts) -> Parts:
    """With both LoRAs of `loras` merged."""
    with tempfile.TemporaryDirectory() as folder:
        files = [
            write(Path(folder) / f"{lora.name}.safetensors", lora.as_kohya())
            for lora in (STYLE, DETAIL)
        ]
        fuse(parts, files, [STYLE.strength, DETAIL.strength])
    return parts


def narrow() -> dict[str, np.ndarray]:
    """Answers of the narrow model, without LoRAs and with both."""
    parts = text_encoder(), unet(), decoder()
    plain = {f"plain/{name}": values for name, values in answers(parts).items()}
    return plain | {f"fused/{name}": values for name, values in answers(fused(parts)).items()}


if __name__ == "__main__":
    with torch.no_grad():
        found = narrow()
    arrays: Any = {name: values.astype(np.float32) for name, values in found.items()}
    np.savez_compressed(sys.argv[1], **arrays)
