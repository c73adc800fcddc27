"""A LoRA's file, or peft's folder with one, checked by its header.

Every key must fit a layer: a LoRA of which a part is silently left out draws something else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_export.checkpoints import architecture
from model_export.checkpoints.safetensors import (
    FLOATS,
    SafetensorsFile,
    open_safetensors,
    shown,
)
from model_export.download import WeightsError
from model_export.lora import keys
from model_export.lora.keys import ALPHA, DOWN, MIDDLE, UP, Layer

if TYPE_CHECKING:
    import numpy as np

_PEFT_CONFIG, _PEFT_FILE = "adapter_config.json", "adapter_model.safetensors"
_ADAPTER_METADATA = "lora_adapter_metadata"
_SHOWN_KEYS = 5
_MAX_CONFIG_BYTES = 2**20
_MAX_ALPHA = 1e6

_KINDS: Mapping[str, str] = {
    r"\.dora_scale$|lora_magnitude_vector": "a DoRA, whose changes do not add up",
    r"\.hada_": "a LoHa",
    r"\.lokr_": "a LoKr",
    r"\.on_input$|ia3_": "an (IA)³",
    r"\.oft_": "an OFT",
    r"\.a1\.weight$|\.b1\.weight$": "a GLoRA",
    r"lora_B\.bias$|\.diff(_b)?$|\.[wb]_norm$": "a LoRA with other changes beside it",
    r"\.(set|reshape)_weight$": "a LoRA that replaces weights",
    r"lora_controlnet": "a ControlLoRA",
    r"emb_params|string_to_param": "a textual inversion",
    r"^lora_te2_|^text_encoder_2\.": "a LoRA for SDXL",
    r"lora_transformer_|double_blocks|single_transformer": "a LoRA for another family",
    r"^model\.diffusion_model\.|^first_stage_model\.": "a whole model, to be named in weights",
}
"""Other kinds of changes, by patterns of their keys."""
_FAMILIES = {1024: "Stable Diffusion 2", 2048: "SDXL", 1280: "SDXL"}
"""By the width of the text that a U-Net attends to."""


@dataclass(frozen=True)
class LoraFile:
    """layers: the names of each layer's factors in the file. metadata may hold the scale."""

    file: SafetensorsFile
    layers: Mapping[Layer, Mapping[str, str]]
    key_count: int
    config: Mapping[str, Any]

    @property
    def paths(self) -> tuple[Path, ...]:
        """What decides the result, for its checksum."""
        config = self.file.path.parent / _PEFT_CONFIG
        return (self.file.path, config) if self.config and config.is_file() else (self.file.path,)

    def changes(self) -> Iterator[tuple[Layer, np.ndarray]]:
        """Each layer's change at strength 1, in PyTorch's layout and float32."""
        for layer, names in self.layers.items():
            shape = architecture.SD1.tensors(layer.part)[f"{layer.module}.weight"]
            down, up = self.file.read(names[DOWN]), self.file.read(names[UP])
            middle = self.file.read(names[MIDDLE]) if MIDDLE in names else None
            scale = self._scale(layer, names, rank=down.shape[0])
            yield layer, (_product(down, up, middle) * scale).reshape(shape)

    def _scale(self, layer: Layer, names: Mapping[str, str], rank: int) -> float:
        """alpha / rank; 1 where the file does not say."""
        import numpy as np

        if ALPHA in names:
            return float(np.ravel(self.file.read(names[ALPHA]))[0]) / rank
        alpha = self._setting(layer, "lora_alpha")
        if alpha is None:
            return 1.0
        return alpha / (sqrt(rank) if self._setting(layer, "use_rslora") else rank)

    def _setting(self, layer: Layer, key: str) -> Any:
        """Of peft, or of diffusers, which has it for each part."""
        return self.config.get(key, self.config.get(f"{layer.part}.{key}"))


def open_lora(path: Path) -> LoraFile:
    """Raises WeightsError unless every key changes a layer of Stable Diffusion 1.x."""
    config: dict[str, Any] = {}
    if path.name == _PEFT_FILE and (path.parent / _PEFT_CONFIG).is_file():
        path = path.parent  # the scale is in the file beside it
    if path.is_dir():
        if not (path / _PEFT_CONFIG).is_file():
            raise WeightsError(f"{path} has no {_PEFT_CONFIG}: name the LoRA's file instead")
        with (path / _PEFT_CONFIG).open("rb") as config_file:
            config = _config(path, config_file.read(_MAX_CONFIG_BYTES))
        path = path / _PEFT_FILE
    file = open_safetensors(path)
    if _ADAPTER_METADATA in file.metadata:
        config = _config(path, file.metadata[_ADAPTER_METADATA].encode())
    _refuse_other_kinds(path, file, config)
    layers: dict[Layer, dict[str, str]] = {}
    unknown: list[str] = []
    for name in file.tensors:
        key = keys.read(name)
        if key is None:
            unknown.append(name)
        elif key.factor in layers.setdefault(key.layer, {}):
            raise WeightsError(f"{path} changes {key.layer.module} twice: use another version")
        else:
            layers[key.layer][key.factor] = name
    if unknown or not layers:
        raise _unmatched(path, unknown, len(file.tensors))
    for layer, names in layers.items():
        _check(file, layer, names)
    return LoraFile(file, layers, len(file.tensors), config)


def _product(down: np.ndarray, up: np.ndarray, middle: np.ndarray | None) -> np.ndarray:
    """up · down for linear layers, and for convolutions, whose kernel is down's or middle's."""
    import numpy as np

    rank = down.shape[0]
    if middle is not None:
        inner = np.einsum("pqyx,qi->piyx", middle, down.reshape(rank, -1))
        return up.reshape(-1, middle.shape[0]) @ inner.reshape(middle.shape[0], -1)
    return up.reshape(-1, rank) @ down.reshape(rank, -1)


def _check(file: SafetensorsFile, layer: Layer, names: Mapping[str, str]) -> None:
    """Raises WeightsError unless the factors multiply to the layer's shape."""
    where = f"{file.path}: {shown(layer.module)}"
    if not {DOWN, UP} <= set(names):
        raise WeightsError(f"{where} lacks a factor: the file is damaged, download it again")
    tensors = {factor: file.tensors[name] for factor, name in names.items()}
    for factor, tensor in tensors.items():
        if tensor.dtype not in FLOATS or (factor == ALPHA and prod(tensor.shape) != 1):
            raise WeightsError(f"{where} has a factor in {tensor.dtype}: use a version in float16")
    outputs, inputs, *kernel = architecture.SD1.tensors(layer.part)[f"{layer.module}.weight"]
    down, up = tensors[DOWN].shape, tensors[UP].shape
    kernel_size = prod(kernel)
    if MIDDLE in tensors:
        middle = tensors[MIDDLE].shape
        fits = (
            down[:1] == middle[1:2]
            and prod(down) == down[0] * inputs
            and prod(up) == outputs * middle[0]
            and list(middle[2:]) == kernel
        )
    else:
        fits = (
            len(down) > 1
            and down[0] > 0
            and prod(down) == down[0] * inputs * kernel_size
            and up[:2] == (outputs, down[0])
            and prod(up) == outputs * down[0]
        )
    if not fits:
        family = _FAMILIES.get(down[1] if len(down) > 1 else 0, "another family")
        made_for = family if layer.module.endswith("attn2.to_k") else "another family"
        raise WeightsError(
            f"{where} has factors of {list(down)} and {list(up)}, which do not fit: the LoRA is "
            f"for {made_for}; use one for Stable Diffusion 1.x"
        )


def _refuse_other_kinds(path: Path, file: SafetensorsFile, config: Mapping[str, Any]) -> None:
    if any(key.endswith("use_dora") and value for key, value in config.items()):
        raise WeightsError(f"{path} is a DoRA, whose changes do not add up: use a LoRA")
    for pattern, kind in _KINDS.items():
        found = next((name for name in file.tensors if re.search(pattern, name)), None)
        if found is not None:
            raise WeightsError(f"{path} is {kind} ({shown(found)}): use a LoRA")


def _unmatched(path: Path, unknown: list[str], count: int) -> WeightsError:
    more = ", …" if len(unknown) > _SHOWN_KEYS else ""
    names = ", ".join(shown(name) for name in unknown[:_SHOWN_KEYS])
    return WeightsError(
        f"{path}: {len(unknown)} of {count} keys fit no layer of Stable Diffusion 1.x "
        f"({names}{more}): use a LoRA for that family"
    )


def _config(path: Path, content: bytes) -> dict[str, Any]:
    try:
        config = json.loads(content)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise WeightsError(f"{path} has a configuration that cannot be read: download it again")
    for key, value in config.items():
        if key.endswith("alpha_pattern") and value:
            raise WeightsError(f"{path} has a scale for single layers ({key}): use another LoRA")
        if key.endswith("lora_alpha") and value is not None and not _is_scale(value):
            raise WeightsError(f"{path} has a {key} that is no number: download it again")
    return config


def _is_scale(value: object) -> bool:
    """JSON's numbers may also be NaN, infinite, or of a thousand digits."""
    return isinstance(value, int | float) and -_MAX_ALPHA <= value <= _MAX_ALPHA
