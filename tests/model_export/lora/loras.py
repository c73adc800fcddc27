"""Two random LoRAs for the narrow model, in every spelling that files have for their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from model_export.checkpoints.architecture import TEXT_ENCODER, UNET, Architecture
from tests.model_export.checkpoints.state_dicts import NARROW, Tensors, random_tensor

Layer = tuple[str, str]
"""(the part, the module's canonical name)"""


@dataclass(frozen=True)
class Lora:
    """layers: which modules it changes. alpha: None where the file has none. rank: of convolutions
    too, unless they have their own.
    """

    name: str
    strength: float
    rank: int
    alpha: float | None
    layers: tuple[Layer, ...]
    convolution_rank: int | None = None

    def factors(self, architecture: Architecture = NARROW) -> Iterator[tuple[Layer, Tensors]]:
        """down [r, in, …] and up [out, r, …] of each layer."""
        for part, module in self.layers:
            shape = architecture.tensors(part)[f"{module}.weight"]
            kernel = shape[2:]
            name = f"{self.name}.{part}.{module}"
            rank = (self.convolution_rank if kernel else None) or self.rank
            down = random_tensor(f"{name}.down", (rank, shape[1], *kernel))
            up = random_tensor(f"{name}.up", (shape[0], rank, *(1 for _ in kernel)))
            yield (part, module), {"down": down, "up": 0.5 * up}

    def as_kohya(self, architecture: Architecture = NARROW) -> Tensors:
        found = self.spelled(kohya_name, ".lora_down.weight", ".lora_up.weight", architecture)
        if self.alpha is not None:
            alpha = np.array(self.alpha, np.float32)
            found |= {f"{kohya_name(*layer)}.alpha": alpha for layer in self.layers}
        return found

    def spelled(
        self,
        name: Callable[[str, str], str],
        down: str,
        up: str,
        architecture: Architecture = NARROW,
    ) -> Tensors:
        """The factors by a tool's names for (part, module), with its ends for the two."""
        found: Tensors = {}
        for layer, factors in self.factors(architecture):
            found[f"{name(*layer)}{down}"] = factors["down"]
            found[f"{name(*layer)}{up}"] = factors["up"]
        return found


_KOHYA = {UNET: "lora_unet_", TEXT_ENCODER: "lora_te_text_model_"}


def kohya_name(part: str, module: str) -> str:
    return _KOHYA[part] + module.replace(".", "_")


_BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0"
STYLE = Lora(
    "style",
    0.8,
    rank=4,
    alpha=2.0,
    layers=(
        (UNET, f"{_BLOCK}.attn1.to_q"),
        (UNET, f"{_BLOCK}.attn2.to_k"),
        (UNET, f"{_BLOCK}.attn2.to_out.0"),
        (UNET, f"{_BLOCK}.ff.net.0.proj"),
        (UNET, "down_blocks.1.attentions.0.proj_in"),
        (UNET, "down_blocks.2.resnets.0.conv1"),
        (UNET, "down_blocks.2.resnets.0.time_emb_proj"),
        (UNET, "down_blocks.1.resnets.0.conv_shortcut"),
        (UNET, "down_blocks.0.downsamplers.0.conv"),
        (UNET, "up_blocks.1.upsamplers.0.conv"),
        (TEXT_ENCODER, "encoder.layers.0.self_attn.q_proj"),
        (TEXT_ENCODER, "encoder.layers.0.self_attn.out_proj"),
        (TEXT_ENCODER, "encoder.layers.1.mlp.fc1"),
    ),
)
"""Of every kind of layer that LoRAs change."""
DETAIL = Lora(
    "detail",
    -0.5,
    rank=2,
    alpha=None,
    layers=(
        (UNET, f"{_BLOCK}.attn1.to_q"),
        (UNET, "mid_block.attentions.0.transformer_blocks.0.attn2.to_v"),
    ),
)
"""It changes a layer that the other one changes too."""

PAIR = (
    STYLE,
    replace(STYLE, name="second", strength=-0.5, rank=3, convolution_rank=2, alpha=5.0),
)
"""Both change every layer; no scale is 1."""
