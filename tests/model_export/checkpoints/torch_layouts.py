"""A checkpoint in the layouts that diffusers writes, and one that it converts by its own table.

python -m tests.model_export.checkpoints.torch_layouts FILE FOLDER

FILE: the tiny checkpoint in the original repository's names, with a moving average. FOLDER gets a
folder for each layout. Needs torch, diffusers and transformers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from safetensors.torch import load_file

from model_export.checkpoints.architecture import GUIDANCE_EMBEDDING, UNET
from tests.model_export.checkpoints.state_dicts import (
    TINY,
    Tensors,
    guidance_embedding,
    state_dict,
)
from tests.model_export.checkpoints.torch_modules import (
    TINY_SIZES,
    Parts,
    decoder,
    pipeline,
    text_encoder,
    unet,
)

SHARD_BYTES = 20_000


def own(told: bool = False) -> Parts:
    """The checkpoint's tensors, given to diffusers' modules by their names."""
    tensors = state_dict(UNET, TINY)
    if told:
        tensors[GUIDANCE_EMBEDDING] = guidance_embedding(TINY)
    return (
        text_encoder(TINY, sizes=TINY_SIZES),
        unet(TINY, tensors, TINY_SIZES),
        decoder(TINY, sizes=TINY_SIZES),
    )


def converted(file: Path, *, is_averaged: bool) -> Parts:
    """The file's tensors by diffusers' conversion."""
    _, predict, decode = own()
    # Each conversion takes tensors out of what it is given.
    of_text = convert_ldm_clip_checkpoint(load_file(file))
    of_unet = convert_ldm_unet_checkpoint(load_file(file), predict.config, extract_ema=is_averaged)
    of_vae = convert_ldm_vae_checkpoint(load_file(file), decode.config)
    return (
        text_encoder(TINY, as_arrays(of_text), TINY_SIZES),
        unet(TINY, as_arrays(of_unet), TINY_SIZES),
        decoder(TINY, as_arrays(of_vae), TINY_SIZES),
    )


def as_arrays(tensors: dict[str, Any]) -> Tensors:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def save(parts: Parts, folder: Path, **options: Any) -> None:
    steps = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    pipeline(parts, steps).save_pretrained(folder, **options)
    # A tiny model cannot have the real one's heads; its configurations say that it does.
    heads = {"unet": {"attention_head_dim": 8}, "text_encoder": {"num_attention_heads": 12}}
    for part, said in heads.items():
        config = folder / part / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | said))


def half(parts: Parts) -> Parts:
    encode, predict, decode = (part.to(torch.float16) for part in parts)
    return encode, predict, decode


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    save(own(), target / "whole")
    save(own(), target / "shards", max_shard_size=SHARD_BYTES)
    save(half(own()), target / "halves", variant="fp16")
    save(half(own()), target / "shards of halves", variant="fp16", max_shard_size=SHARD_BYTES)
    save(converted(source, is_averaged=False), target / "converted")
    save(converted(source, is_averaged=True), target / "converted from the average")
    save(own(told=True), target / "full lcm")
