"""The table of tensors, against the public model's counts, and the names of other layouts."""

from __future__ import annotations

from math import prod

import pytest

from model_export.checkpoints.architecture import DECODER, PARTS, SD1, TEXT_ENCODER, UNET
from model_export.checkpoints.names import ema_name, ldm_name, spellings


@pytest.mark.parametrize(
    ("part", "tensors", "parameters"),
    [
        (TEXT_ENCODER, 196, 123_060_480),
        (UNET, 686, 859_520_964),
        (DECODER, 138 + 2, 49_490_179 + 20),
    ],
)
def test_the_table_is_stable_diffusion_1(part: str, tensors: int, parameters: int) -> None:
    shapes = SD1.tensors(part)
    assert (len(shapes), sum(map(prod, shapes.values()))) == (tensors, parameters)


@pytest.mark.parametrize(
    ("part", "name", "ldm"),
    [
        (UNET, "conv_in.weight", "input_blocks.0.0.weight"),
        (UNET, "time_embedding.linear_2.bias", "time_embed.2.bias"),
        (UNET, "down_blocks.0.resnets.1.norm1.weight", "input_blocks.2.0.in_layers.0.weight"),
        (UNET, "down_blocks.2.downsamplers.0.conv.bias", "input_blocks.9.0.op.bias"),
        (UNET, "down_blocks.3.resnets.1.conv2.weight", "input_blocks.11.0.out_layers.3.weight"),
        (UNET, "mid_block.attentions.0.proj_in.weight", "middle_block.1.proj_in.weight"),
        (UNET, "up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"),
        (UNET, "up_blocks.2.upsamplers.0.conv.weight", "output_blocks.8.2.conv.weight"),
        (
            UNET,
            "up_blocks.3.resnets.2.conv_shortcut.weight",
            "output_blocks.11.0.skip_connection.weight",
        ),
        (UNET, "conv_norm_out.bias", "out.0.bias"),
        (DECODER, "decoder.up_blocks.0.resnets.2.conv1.bias", "decoder.up.3.block.2.conv1.bias"),
        (
            DECODER,
            "decoder.up_blocks.2.resnets.0.conv_shortcut.weight",
            "decoder.up.1.block.0.nin_shortcut.weight",
        ),
        (
            DECODER,
            "decoder.mid_block.attentions.0.to_out.0.weight",
            "decoder.mid.attn_1.proj_out.weight",
        ),
        (DECODER, "decoder.conv_norm_out.weight", "decoder.norm_out.weight"),
        (TEXT_ENCODER, "final_layer_norm.bias", "final_layer_norm.bias"),
    ],
)
def test_a_tensor_has_its_name_of_the_original_repository(part: str, name: str, ldm: str) -> None:
    assert name in SD1.tensors(part)
    assert ldm_name(part, name) == ldm


def test_no_two_tensors_share_a_name_in_any_layout() -> None:
    every = [
        (part, name, spelling)
        for part in PARTS
        for name in SD1.tensors(part)
        for spelling in set(spellings(part, name))
    ]
    owners = {spelling: (part, name) for part, name, spelling in every}
    assert len(owners) == len(every)
    assert len({ema_name(name) for name in SD1.tensors(UNET)}) == 686
    assert ema_name("conv_in.weight") == "model_ema.diffusion_modelinput_blocks00weight"
