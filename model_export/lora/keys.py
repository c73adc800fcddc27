"""The names that LoRA files give to a model's layers, built forward from canonical names.

Three families of tools have their own: kohya's (also AUTOMATIC1111's and LyCORIS'), diffusers', and
peft's. A file may mix them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from model_export.checkpoints import architecture
from model_export.checkpoints.architecture import TEXT_ENCODER, UNET, Architecture
from model_export.checkpoints.names import ldm_name

DOWN, UP, MIDDLE, ALPHA = "down", "up", "middle", "alpha"

_ENDS: Mapping[str, str] = {
    ".lora_down.weight": DOWN,
    ".lora_up.weight": UP,
    ".lora_mid.weight": MIDDLE,
    ".alpha": ALPHA,
    ".lora_A.weight": DOWN,
    ".lora_B.weight": UP,
    ".lora_A.default.weight": DOWN,
    ".lora_B.default.weight": UP,
    ".lora.down.weight": DOWN,
    ".lora.up.weight": UP,
    ".lora_linear_layer.down.weight": DOWN,
    ".lora_linear_layer.up.weight": UP,
    "_lora.down.weight": DOWN,
    "_lora.up.weight": UP,
}

_TEXT_ATTENTION = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
"""diffusers' first names of the text encoder's attention."""


class Layer(NamedTuple):
    """A layer of the model by its canonical name."""

    part: str
    module: str


class Key(NamedTuple):
    """What a tensor of a LoRA is: which factor of which layer."""

    layer: Layer
    factor: str


def read(name: str) -> Key | None:
    """What the name of a tensor means; None if it fits no layer of the model."""
    for end, factor in _ENDS.items():
        if name.endswith(end):
            layer = _layers(architecture.SD1).get(name.removesuffix(end))
            if layer is not None:
                return Key(layer, factor)
    return None


@lru_cache(maxsize=2)
def _layers(of: Architecture) -> Mapping[str, Layer]:
    found: dict[str, Layer] = {}
    for part, spelled in ((UNET, _unet_spellings), (TEXT_ENCODER, _text_spellings)):
        for name, shape in of.tensors(part).items():
            if len(shape) > 1 and not name.startswith("embeddings."):
                module = name.removesuffix(".weight")
                found |= dict.fromkeys(spelled(module), Layer(part, module))
    return found


def _unet_spellings(module: str) -> Iterator[str]:
    for name in (module, ldm_name(UNET, module)):
        yield f"lora_unet_{_flat(name)}"
        yield f"lycoris_{_flat(name)}"
        yield f"diffusion_model.{name}"
    for prefix in ("", "unet.", "base_model.model.", "base_model.model.unet."):
        yield prefix + module
        attention, _, projection = module.partition(".to_")
        if projection:
            first = projection.removesuffix(".0")
            yield f"{prefix}{attention}.processor.to_{first}"
            yield f"{prefix}{attention}.to_{first}"


def _text_spellings(module: str) -> Iterator[str]:
    for prefix in ("lora_te_", "lora_te1_", "lycoris_te_"):
        yield f"{prefix}text_model_{_flat(module)}"
        yield prefix + _flat(module)
    for prefix in ("text_encoder.", "", "base_model.model.", "base_model.model.text_encoder."):
        for wrapper in ("text_model.", ""):
            yield prefix + wrapper + module
            layer, _, projection = module.rpartition(".")
            if projection in _TEXT_ATTENTION:
                yield f"{prefix}{wrapper}{layer}.{_TEXT_ATTENTION[projection]}"


def _flat(name: str) -> str:
    return name.replace(".", "_")
