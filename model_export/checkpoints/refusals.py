"""Files that are no Stable Diffusion 1.x checkpoint: what each is, and what to do instead.

Judged by names and shapes alone, before anything is read. The first line that fits wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from model_export.checkpoints.architecture import DECODER, UNET, Shape
from model_export.checkpoints.names import spellings
from model_export.checkpoints.safetensors import SafetensorsFile, shown
from model_export.download import WeightsError

LORA_MARKS = (
    "lora_",
    ".lora.",
    "_lora.",
    "lycoris_",
    "hada_",
    "lokr_",
    "oft_",
)
_SUPPORTED = "text-to-image models of Stable Diffusion 1.x are supported"


class _File(NamedTuple):
    names: tuple[str, ...]
    shapes: Mapping[str, Shape]

    def has(self, *parts: str) -> bool:
        return any(part in name for part in parts for name in self.names)

    def context(self) -> int:
        """The width of the text that the U-Net attends to; 0 if there is none."""
        found = (
            self.shapes[name]
            for name in self.names
            if name.endswith("attn2.to_k.weight") and len(self.shapes[name]) == 2
        )
        return next((shape[1] for shape in found), 0)

    def first_layer(self) -> Shape:
        """The shape of the U-Net's first convolution: [out, in, 3, 3]."""
        found = (self.shapes.get(name) for name in spellings(UNET, "conv_in.weight"))
        return next((shape for shape in found if shape and len(shape) == 4), ())

    def channels_in(self) -> int:
        return self.first_layer()[1] if self.first_layer() else 0


class _Kind(NamedTuple):
    fits: Callable[[_File], bool]
    what: str
    way: str = _SUPPORTED


_KINDS = (
    _Kind(
        lambda file: file.has(*LORA_MARKS),
        "a LoRA or another change to a model",
        "list a LoRA in the setting loras, beside a model in weights",
    ),
    _Kind(lambda file: file.has("joint_blocks."), "a Stable Diffusion 3 model"),
    _Kind(
        lambda file: (
            file.has("single_transformer_blocks.")
            or (file.has("double_blocks.") and file.has("img_attn"))
        ),
        "a Flux model",
    ),
    _Kind(
        lambda file: (
            file.has("conditioner.embedders.1.", "label_emb.0.0.", "add_embedding.linear_1.")
            or file.context() == 2048
        ),
        "an SDXL model (two text encoders)",
    ),
    _Kind(
        lambda file: file.context() == 1280 or file.first_layer()[:1] == (384,), "an SDXL refiner"
    ),
    _Kind(lambda file: file.has("control_model.", "controlnet_cond_embedding."), "a ControlNet"),
    _Kind(lambda file: file.has("motion_modules.", "time_stack.", "time_mixer."), "a video model"),
    _Kind(lambda file: file.channels_in() == 9, "an inpainting model"),
    _Kind(lambda file: file.channels_in() == 8, "an instruct-pix2pix model"),
    _Kind(lambda file: file.channels_in() == 5, "a depth-to-image model"),
    _Kind(lambda file: file.channels_in() == 7, "an upscaler"),
    _Kind(lambda file: file.has("embedder.model.ln_final.", "class_embedding."), "an unCLIP model"),
    _Kind(lambda file: file.has("cond_stage_model.roberta."), "an AltDiffusion model"),
    _Kind(
        lambda file: (
            file.context() == 1024
            or file.has("cond_stage_model.model.", "conditioner.embedders.0.model.")
        ),
        "a Stable Diffusion 2 model",
    ),
    _Kind(lambda file: "ztsnr" in file.names, "a model with a noise schedule of zero terminal SNR"),
    _Kind(
        lambda file: file.has("emb_params", "string_to_param"),
        "a textual inversion, which is a part of a prompt",
    ),
    _Kind(
        lambda file: not file.first_layer() and file.has("decoder.conv_in."),
        "a VAE without a U-Net",
        "name it in the setting vae, beside a model in weights",
    ),
    _Kind(lambda file: not file.first_layer(), "no model with a U-Net"),
    _Kind(
        lambda file: not file.has("middle_block.1.", "mid_block.attentions.0."),
        "a model with a smaller U-Net, such as SDXS or BK-SDM",
    ),
)


def refuse_other_kinds(path: Path, shapes: Mapping[str, Shape]) -> None:
    """Raises WeightsError for a kind of file that is known and that cannot be used as a model."""
    file = _File(tuple(shapes), shapes)
    for kind in _KINDS:
        if kind.fits(file):
            raise WeightsError(f"{path} is {kind.what}: {kind.way}")


def refuse_quantised(file: SafetensorsFile) -> None:
    for name, tensor in file.tensors.items():
        if tensor.dtype.startswith("F8") or name.endswith((".comfy_quant", ".weight.absmax")):
            raise quantised(file.path, name, tensor.dtype)


def quantised(path: Path, name: str, dtype: str) -> WeightsError:
    return WeightsError(
        f"{path} has quantised weights ({shown(name)} is in {dtype}): use the model's version in "
        "float16 or float32"
    )


def is_vae(names: Iterable[str]) -> bool:
    """Whether a decoder is among these names."""
    known = set(names)
    return any(name in known for name in spellings(DECODER, "decoder.conv_in.weight"))
