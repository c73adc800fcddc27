"""The names that files give to a tensor, built forward from its canonical name.

Nothing is parsed: underscores in names would make that ambiguous, and a name that is in no table is
one that nobody meant. LDM is the layout of the original repository, which single files have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from model_export.checkpoints.architecture import DECODER, TEXT_ENCODER, UNET

LDM_PREFIXES: Mapping[str, str] = {
    UNET: "model.diffusion_model.",
    TEXT_ENCODER: "cond_stage_model.transformer.text_model.",
    DECODER: "first_stage_model.",
}
EMA_PREFIX = "model_ema."

_OTHER_PREFIXES: Mapping[str, tuple[str, ...]] = {
    UNET: ("", "unet."),
    # Without text_model in early single files, and in folders of transformers from 5.6 on.
    TEXT_ENCODER: ("cond_stage_model.transformer.", "text_model.", "text_encoder.text_model.", ""),
    DECODER: ("", "vae."),
}

_RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_DECODER_RESIDUAL = {"conv_shortcut": "nin_shortcut"}
_DECODER_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
_EARLY_ATTENTION = {
    "to_q": "query",
    "to_k": "key",
    "to_v": "value",
    "to_out.0": "proj_attn",
}
"""diffusers' first names of the decoder's attention."""


def _unet_modules() -> Iterator[tuple[str, str]]:
    yield from {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        # Converters leave this one as it is.
        "time_embedding.cond_proj": "time_embedding.cond_proj",
        "conv_in": "input_blocks.0.0",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
    }.items()
    for i in range(4):
        for j in range(2):
            yield f"down_blocks.{i}.resnets.{j}", f"input_blocks.{3 * i + j + 1}.0"
            yield f"down_blocks.{i}.attentions.{j}", f"input_blocks.{3 * i + j + 1}.1"
        yield f"down_blocks.{i}.downsamplers.0.conv", f"input_blocks.{3 * i + 3}.0.op"
        for j in range(3):
            yield f"up_blocks.{i}.resnets.{j}", f"output_blocks.{3 * i + j}.0"
            yield f"up_blocks.{i}.attentions.{j}", f"output_blocks.{3 * i + j}.1"
        # Behind the attention, which the first block does not have.
        slot = 2 if i else 1
        yield f"up_blocks.{i}.upsamplers.0.conv", f"output_blocks.{3 * i + 2}.{slot}.conv"


def _decoder_modules() -> Iterator[tuple[str, str]]:
    yield from {
        "post_quant_conv": "post_quant_conv",
        "decoder.conv_in": "decoder.conv_in",
        "decoder.mid_block.resnets.0": "decoder.mid.block_1",
        "decoder.mid_block.attentions.0": "decoder.mid.attn_1",
        "decoder.mid_block.resnets.1": "decoder.mid.block_2",
        "decoder.conv_norm_out": "decoder.norm_out",
        "decoder.conv_out": "decoder.conv_out",
    }.items()
    for i in range(4):
        for j in range(3):
            yield f"decoder.up_blocks.{i}.resnets.{j}", f"decoder.up.{3 - i}.block.{j}"
        yield f"decoder.up_blocks.{i}.upsamplers.0.conv", f"decoder.up.{3 - i}.upsample.conv"


_MODULES = {UNET: dict(_unet_modules()), TEXT_ENCODER: {}, DECODER: dict(_decoder_modules())}


def ldm_name(part: str, name: str) -> str:
    """The tensor's, or module's, name in the LDM layout, without the part's prefix."""
    module, inner = _split(part, name)
    if not module:
        return name
    if ".resnets." in module:
        inner = _renamed(inner, _RESIDUAL if part == UNET else _DECODER_RESIDUAL)
    elif part == DECODER and ".attentions." in module:
        inner = _renamed(inner, _DECODER_ATTENTION)
    return ".".join(word for word in (_MODULES[part][module], inner) if word)


def spellings(part: str, name: str) -> Iterator[str]:
    """Every name that a file may give to the tensor, the most usual first."""
    ldm = ldm_name(part, name)
    yield LDM_PREFIXES[part] + ldm
    for prefix in _OTHER_PREFIXES[part]:
        yield prefix + ldm
        yield prefix + name
        if part == DECODER and ".attentions." in name:
            yield prefix + _early(name)


def ema_name(name: str) -> str:
    """The name of a U-Net tensor's moving average over the training."""
    return EMA_PREFIX + (LDM_PREFIXES[UNET].removeprefix("model.") + ldm_name(UNET, name)).replace(
        ".", ""
    )


def _early(name: str) -> str:
    module, inner = _split(DECODER, name)
    return f"{module}.{_renamed(inner, _EARLY_ATTENTION)}"


def _split(part: str, name: str) -> tuple[str, str]:
    """(the module's canonical name, the rest); no module where the part has no table."""
    words = name.split(".")
    for length in range(len(words), 0, -1):
        module = ".".join(words[:length])
        if module in _MODULES[part]:
            return module, ".".join(words[length:])
    return "", name


def _renamed(inner: str, table: Mapping[str, str]) -> str:
    for old, new in table.items():
        if inner == old or inner.startswith(f"{old}."):
            return new + inner.removeprefix(old)
    return inner
