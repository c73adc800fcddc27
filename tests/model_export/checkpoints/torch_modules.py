"""diffusers' and transformers' modules with the tensors of `state_dicts`.

Needs torch, diffusers, transformers and, for LoRAs, peft; none of this project's other packages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from transformers import CLIPTextConfig, CLIPTextModel

from model_export.checkpoints.architecture import (
    DECODER,
    GUIDANCE_EMBEDDING,
    TEXT_ENCODER,
    UNET,
    Architecture,
)
from model_export.tiny_decoder.architecture import diffusers_name
from tests.model_export.checkpoints.state_dicts import NARROW, Tensors, as_diffusers, state_dict

Parts = tuple[Any, Any, Any]
"""Text encoder, U-Net, decoder."""


@dataclass(frozen=True)
class Sizes:
    """What does not follow from the tensors' shapes: a tiny model takes smaller ones."""

    heads: int = 8
    text_heads: int = 12
    groups: int = 32


REAL = Sizes()
TINY_SIZES = Sizes(heads=1, text_heads=1, groups=1)
"""Of `state_dicts.TINY`."""


def unet(
    architecture: Architecture = NARROW, tensors: Tensors | None = None, sizes: Sizes = REAL
) -> Any:
    """It is told the guidance scale if there is a tensor for that."""
    tensors = tensors or state_dict(UNET, architecture)
    told = tensors[GUIDANCE_EMBEDDING].shape[1] if GUIDANCE_EMBEDDING in tensors else None
    attended, plain = "CrossAttn{}Block2D", "{}Block2D"
    made = UNet2DConditionModel(
        block_out_channels=architecture.unet,
        layers_per_block=2,
        cross_attention_dim=architecture.context,
        attention_head_dim=sizes.heads,
        norm_num_groups=sizes.groups,
        time_embedding_dim=architecture.embedding,
        time_cond_proj_dim=told,
        down_block_types=(*[attended.format("Down")] * 3, plain.format("Down")),
        up_block_types=(plain.format("Up"), *[attended.format("Up")] * 3),
    )
    # A narrow model's would be narrower than the one that keras_cv takes.
    made.time_proj = Timesteps(architecture.timestep, True, 0)
    made.time_embedding = TimestepEmbedding(
        architecture.timestep, architecture.embedding, cond_proj_dim=told
    )
    return _filled(made, tensors)


def text_encoder(
    architecture: Architecture = NARROW, tensors: Tensors | None = None, sizes: Sizes = REAL
) -> Any:
    config = CLIPTextConfig(
        vocab_size=architecture.vocabulary,
        max_position_embeddings=architecture.positions,
        hidden_size=architecture.context,
        intermediate_size=4 * architecture.context,
        num_hidden_layers=architecture.text_layers,
        num_attention_heads=sizes.text_heads,
        hidden_act="quick_gelu",
    )
    tensors = tensors or as_diffusers(TEXT_ENCODER, state_dict(TEXT_ENCODER, architecture))
    made = CLIPTextModel(config)
    if not any(name.startswith("text_model.") for name in made.state_dict()):
        tensors = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    return _filled(made, tensors)


def decoder(
    architecture: Architecture = NARROW, tensors: Tensors | None = None, sizes: Sizes = REAL
) -> Any:
    made = AutoencoderKL(
        block_out_channels=architecture.decoder[::-1],
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=sizes.groups,
    )
    tensors = tensors or as_diffusers(DECODER, state_dict(DECODER, architecture))
    return _filled(made, tensors, unused=("encoder.", "quant_conv."))


def tiny_decoder(tensors: Tensors) -> Any:
    """TAESD's, by its own names."""
    renamed = {diffusers_name(name): values for name, values in tensors.items()}
    return _filled(AutoencoderTiny(), renamed, unused=("encoder.",))


def pipeline(parts: Parts, scheduler: Any = None, kind: Any = StableDiffusionPipeline) -> Any:
    encode, predict, decode = parts
    return kind(
        vae=decode,
        text_encoder=encode,
        tokenizer=None,
        unet=predict,
        scheduler=scheduler or DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def fuse(parts: Parts, files: Sequence[Path], strengths: Sequence[float]) -> None:
    """Merges LoRAs into the text encoder and the U-Net, by diffusers' `fuse_lora`."""
    merging = pipeline(parts)
    names = [f"lora{number}" for number in range(len(files))]
    for name, path in zip(names, files, strict=True):
        merging.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=name)
    merging.set_adapters(names, list(strengths))
    merging.fuse_lora(adapter_names=names)
    merging.unload_lora_weights()


def _filled(module: Any, tensors: Tensors, unused: tuple[str, ...] = ()) -> Any:
    """unused: the beginnings of names that the module may have beyond the tensors."""
    own = module.state_dict()
    given = {n: torch.from_numpy(t.copy()).reshape(own[n].shape) for n, t in tensors.items()}
    missing, unexpected = module.load_state_dict(given, strict=False)
    missing = [
        name for name in missing if not name.startswith(unused) and "position_ids" not in name
    ]
    assert not unexpected and not missing, (missing, unexpected)
    return module.eval()
