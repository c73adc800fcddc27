"""The pictures of `pictures`, drawn by diffusers' own pipelines and schedulers.

python -m tests.model_export.checkpoints.torch_pictures OUT.npz [--full-size]

Needs torch, diffusers, transformers and peft, but none of this project's other packages.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any
from unittest import mock

import diffusers
import numpy as np
import torch

from model_export.checkpoints.architecture import (
    DECODER,
    GUIDANCE_EMBEDDING,
    SD1,
    TEXT_ENCODER,
    UNET,
)
from tests.model_export.checkpoints import full_size, pictures
from tests.model_export.checkpoints.drawn import EMPTY, LATENT, TOKENS
from tests.model_export.checkpoints.pictures import (
    KEPT_EVERY,
    MORE_RECIPES,
    NOISE,
    RECIPES,
    SIZE,
    STEPS,
    Recipe,
)
from tests.model_export.checkpoints.state_dicts import as_diffusers, guidance_embedding, state_dict
from tests.model_export.checkpoints.torch_modules import (
    Parts,
    decoder,
    pipeline,
    text_encoder,
    tiny_decoder,
    unet,
)
from tests.model_export.checkpoints.torch_reference import fused

SCHEDULE: Any = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TCD_ETA = 0.3
"""TCDScheduler's own default; the pipeline's is 0."""


def scheduler(recipe: Recipe) -> Any:
    of_model = {**SCHEDULE, "prediction_type": recipe.prediction_type}
    trailing = {"timestep_spacing": "trailing"}
    made = {
        "ddim_trailing": lambda: diffusers.DDIMScheduler(**of_model, **trailing, clip_sample=False),
        "lcm": lambda: diffusers.LCMScheduler(**of_model),
        "tcd": lambda: diffusers.TCDScheduler(**of_model),
        "euler_trailing": lambda: diffusers.EulerDiscreteScheduler(**of_model, **trailing),
    }
    return made[recipe.sampler]()


def picture(parts: Parts, recipe: Recipe) -> np.ndarray:
    """uint8 [256, 256, 3]."""
    kind: Any = (
        diffusers.LatentConsistencyModelPipeline
        if recipe.has_embedding
        else diffusers.StableDiffusionPipeline
    )
    steps = scheduler(recipe)
    drawing = pipeline(parts, steps, kind)
    drawing.set_progress_bar_config(disable=True)
    given: dict[str, Any] = {"prompt_embeds": parts[0](torch.tensor([TOKENS]))[0]}
    if recipe.guidance > 1 and not recipe.has_embedding:
        given["negative_prompt_embeds"] = parts[0](torch.tensor([EMPTY]))[0]
    if recipe.sampler == "tcd":
        given["eta"] = TCD_ETA
    noise = iter(torch.from_numpy(np.stack(NOISE)))
    with mock.patch(f"{type(steps).__module__}.randn_tensor", lambda *_, **__: next(noise)):
        images = drawing(
            num_inference_steps=STEPS,
            guidance_scale=recipe.guidance,
            latents=torch.from_numpy(LATENT),
            height=SIZE,
            width=SIZE,
            output_type="np",
            **given,
        ).images
    return (images[0] * 255).round().astype(np.uint8)


def all_of(
    recipes: Mapping[str, Recipe], parts: Parts, tensors: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """tensors: the U-Net's, for the one that is told the guidance scale."""
    encode, predict, decode = parts
    found: dict[str, np.ndarray] = {}
    for name, recipe in recipes.items():
        chosen = predict
        if recipe.has_embedding:
            chosen = unet(tensors={**tensors, GUIDANCE_EMBEDDING: guidance_embedding()})
        drawn_by = tiny_decoder(pictures.tiny_decoder()) if recipe.has_tiny_decoder else decode
        found[name] = picture((encode, chosen, drawn_by), recipe)
    return found


def narrow() -> dict[str, np.ndarray]:
    """All of the narrow model, and one with both LoRAs."""
    parts = text_encoder(), unet(), decoder()
    found = all_of({**RECIPES, **MORE_RECIPES}, parts, state_dict(UNET))
    found["with LoRAs"] = picture(fused(parts), MORE_RECIPES["guided"])
    return {name: image[::KEPT_EVERY, ::KEPT_EVERY] for name, image in found.items()}


def of_full_size() -> dict[str, np.ndarray]:
    """Those of the checkpoint that `full_size` writes."""
    text = as_diffusers(TEXT_ENCODER, full_size.tensors(TEXT_ENCODER))
    parts = (
        text_encoder(SD1, text),
        unet(SD1, full_size.tensors(UNET)),
        decoder(SD1, as_diffusers(DECODER, full_size.tensors(DECODER))),
    )
    return all_of(full_size.RECIPES, parts, {})


if __name__ == "__main__":
    with torch.no_grad():
        arrays: Any = of_full_size() if "--full-size" in sys.argv else narrow()
    np.savez_compressed(sys.argv[1], **arrays)
