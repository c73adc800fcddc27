"""diffusers' Stable Diffusion pipeline on torch, with random weights.

Its sizes are those of the published model's configuration. The sampler is DPM-Solver++ (2M) with
trailing timesteps, like ours. torch runs in inference mode, with one thread per core.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

from bench.speed.contenders import Contender

_TEXT = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
}
_CHANNELS = (320, 640, 1280, 1280)
_DECODER_CHANNELS = (128, 256, 512, 512)
_SAMPLER = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}
_SPREAD = 0.02


def load(contender: Contender, _folder: Path, image_size: int) -> Callable[[int], None]:
    import torch
    from diffusers import (
        AutoencoderKL,
        DPMSolverMultistepScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.set_default_dtype(getattr(torch, contender.precision))
    text_encoder = CLIPTextModel(CLIPTextConfig(**_TEXT)).eval()
    # torch's own initialization of these weights takes a minute.
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=image_size // 8,
            block_out_channels=_CHANNELS,
            cross_attention_dim=768,
            attention_head_dim=8,
        )
    unet.to_empty(device="cpu")
    for weight in unet.parameters():
        torch.nn.init.uniform_(weight, -_SPREAD, _SPREAD)
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(
            block_out_channels=_DECODER_CHANNELS,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
        ).eval(),
        text_encoder=text_encoder,
        tokenizer=None,
        unet=unet.eval(),
        scheduler=DPMSolverMultistepScheduler(**_SAMPLER),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    tokens = torch.full((2, 77), 49407, dtype=torch.int64)
    tokens[:, 0] = 49406
    tokens[1, 1:4] = torch.tensor([320, 27111, 9038])

    def draw(num_steps: int) -> None:
        with torch.inference_mode():
            unconditional, conditional = text_encoder(tokens)[0].chunk(2)
            pictures = pipeline(
                prompt_embeds=conditional,
                negative_prompt_embeds=unconditional,
                height=image_size,
                width=image_size,
                num_inference_steps=num_steps,
                guidance_scale=7.5,
            )
        pictures.images[0].save(io.BytesIO(), "PNG")

    return draw
