"""Every tensor of Stable Diffusion 1.x by its canonical name, diffusers' own, with its shape.

The one table behind recognising a checkpoint, checking it, and finding a LoRA's layers. Shapes are
PyTorch's: a convolution [out, in, h, w], a linear layer [out, in]. Layers that are a convolution in
some files and linear in others are 1 x 1 convolutions here. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Shape = tuple[int, ...]
Tensor = tuple[str, Shape]

UNET, TEXT_ENCODER, DECODER = "unet", "text_encoder", "decoder"
PARTS = (TEXT_ENCODER, UNET, DECODER)

GUIDANCE_EMBEDDING = "time_embedding.cond_proj.weight"
"""In the U-Net of a full latent consistency model alone."""
GUIDANCE_WIDTH = 256

_LATENT_CHANNELS = 4


@dataclass(frozen=True)
class Architecture:
    """The widths: of the U-Net's and the decoder's levels, from the first layer on, and others."""

    unet: tuple[int, int, int, int] = (320, 640, 1280, 1280)
    decoder: tuple[int, int, int, int] = (512, 512, 256, 128)
    timestep: int = 320
    embedding: int = 1280
    context: int = 768
    text_layers: int = 12
    vocabulary: int = 49408
    positions: int = 77

    def tensors(self, part: str) -> dict[str, Shape]:
        """The part's tensors by name."""
        makers = {UNET: self._unet, TEXT_ENCODER: self._text_encoder, DECODER: self._decoder}
        return dict(makers[part]())

    def _unet(self) -> Iterator[Tensor]:
        first, last = self.unet[0], self.unet[-1]
        yield from _layer("time_embedding.linear_1", (self.embedding, self.timestep))
        yield from _layer("time_embedding.linear_2", (self.embedding, self.embedding))
        yield from _layer("conv_in", (first, _LATENT_CHANNELS, 3, 3))
        width = first
        skipped = [first]
        for i, wider in enumerate(self.unet):
            for j in range(2):
                yield from self._residual(f"down_blocks.{i}.resnets.{j}", width, wider)
                width = wider
                if i < 3:
                    yield from self._transformer(f"down_blocks.{i}.attentions.{j}", width)
                skipped.append(width)
            if i < 3:
                yield from _layer(f"down_blocks.{i}.downsamplers.0.conv", (width, width, 3, 3))
                skipped.append(width)
        yield from self._residual("mid_block.resnets.0", last, last)
        yield from self._transformer("mid_block.attentions.0", last)
        yield from self._residual("mid_block.resnets.1", last, last)
        for i, narrower in enumerate(reversed(self.unet)):
            for j in range(3):
                joined = width + skipped.pop()
                yield from self._residual(f"up_blocks.{i}.resnets.{j}", joined, narrower)
                width = narrower
                if i > 0:
                    yield from self._transformer(f"up_blocks.{i}.attentions.{j}", width)
            if i < 3:
                yield from _layer(f"up_blocks.{i}.upsamplers.0.conv", (width, width, 3, 3))
        yield from _norm("conv_norm_out", first)
        yield from _layer("conv_out", (_LATENT_CHANNELS, first, 3, 3))

    def _residual(self, name: str, width: int, out: int, embedded: bool = True) -> Iterator[Tensor]:
        yield from _norm(f"{name}.norm1", width)
        yield from _layer(f"{name}.conv1", (out, width, 3, 3))
        if embedded:
            yield from _layer(f"{name}.time_emb_proj", (out, self.embedding))
        yield from _norm(f"{name}.norm2", out)
        yield from _layer(f"{name}.conv2", (out, out, 3, 3))
        if width != out:
            yield from _layer(f"{name}.conv_shortcut", (out, width, 1, 1))

    def _transformer(self, name: str, width: int) -> Iterator[Tensor]:
        block = f"{name}.transformer_blocks.0"
        yield from _norm(f"{name}.norm", width)
        yield from _layer(f"{name}.proj_in", (width, width, 1, 1))
        for norm, attention, source in (
            ("norm1", "attn1", width),
            ("norm2", "attn2", self.context),
        ):
            yield from _norm(f"{block}.{norm}", width)
            for projection, inputs in (("to_q", width), ("to_k", source), ("to_v", source)):
                yield f"{block}.{attention}.{projection}.weight", (width, inputs)
            yield from _layer(f"{block}.{attention}.to_out.0", (width, width))
        yield from _norm(f"{block}.norm3", width)
        yield from _layer(f"{block}.ff.net.0.proj", (8 * width, width))
        yield from _layer(f"{block}.ff.net.2", (width, 4 * width))
        yield from _layer(f"{name}.proj_out", (width, width, 1, 1))

    def _text_encoder(self) -> Iterator[Tensor]:
        width = self.context
        yield "embeddings.token_embedding.weight", (self.vocabulary, width)
        yield "embeddings.position_embedding.weight", (self.positions, width)
        for i in range(self.text_layers):
            layer = f"encoder.layers.{i}"
            yield from _norm(f"{layer}.layer_norm1", width)
            for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
                yield from _layer(f"{layer}.self_attn.{projection}", (width, width))
            yield from _norm(f"{layer}.layer_norm2", width)
            yield from _layer(f"{layer}.mlp.fc1", (4 * width, width))
            yield from _layer(f"{layer}.mlp.fc2", (width, 4 * width))
        yield from _norm("final_layer_norm", width)

    def _decoder(self) -> Iterator[Tensor]:
        width = self.decoder[0]
        yield from _layer("post_quant_conv", (_LATENT_CHANNELS, _LATENT_CHANNELS, 1, 1))
        yield from _layer("decoder.conv_in", (width, _LATENT_CHANNELS, 3, 3))
        middle = "decoder.mid_block"
        yield from self._residual(f"{middle}.resnets.0", width, width, embedded=False)
        yield from _norm(f"{middle}.attentions.0.group_norm", width)
        for projection in ("to_q", "to_k", "to_v", "to_out.0"):
            yield from _layer(f"{middle}.attentions.0.{projection}", (width, width, 1, 1))
        yield from self._residual(f"{middle}.resnets.1", width, width, embedded=False)
        for i, narrower in enumerate(self.decoder):
            for j in range(3):
                name = f"decoder.up_blocks.{i}.resnets.{j}"
                yield from self._residual(name, width, narrower, embedded=False)
                width = narrower
            if i < 3:
                name = f"decoder.up_blocks.{i}.upsamplers.0.conv"
                yield from _layer(name, (width, width, 3, 3))
        yield from _norm("decoder.conv_norm_out", width)
        yield from _layer("decoder.conv_out", (3, width, 3, 3))


SD1 = Architecture()
"""Stable Diffusion 1.x."""


def _layer(name: str, shape: Shape) -> Iterator[Tensor]:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def _norm(name: str, width: int) -> Iterator[Tensor]:
    yield from _layer(name, (width,))
