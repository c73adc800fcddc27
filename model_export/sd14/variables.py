"""keras_cv's variables by the canonical names of `model_export.checkpoints.architecture`.

keras_cv's models are walked in their own order: layers of one type come in the order of the forward
pass, and the weights of a layer in the order in which it made them.

Imports Keras at the top: import this module where it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras_cv.src.models.stable_diffusion.diffusion_model import (
    ResBlock,
    SpatialTransformer,
    Upsample,
)
from keras_cv.src.models.stable_diffusion.padded_conv2d import PaddedConv2D

from model_export.checkpoints import architecture
from model_export.checkpoints.architecture import TEXT_ENCODER, UNET, Shape


def by_name(part: str, model: Any) -> dict[str, Any]:
    """The model's variables by canonical name. The model is keras_cv's for that part."""
    names = architecture.SD1.tensors(part)
    ordered = _unet_names(model, names) if part == UNET else list(names)
    variables = dict(zip(ordered, model.weights, strict=True))
    for name, shape in names.items():
        fits = keras_shape(part, name, shape) == tuple(variables[name].shape)
        assert fits, f"{name}: {shape}, {variables[name].shape}"
    return variables


def to_keras(part: str, name: str, values: np.ndarray) -> np.ndarray:
    """A tensor in PyTorch's layout as Keras has it: kernels end in [in, out]."""
    if _is_table(part, name):
        return values
    return np.transpose(values, (2, 3, 1, 0)) if values.ndim == 4 else values.T


def to_torch(part: str, name: str, values: np.ndarray) -> np.ndarray:
    """The inverse of `to_keras`."""
    if _is_table(part, name):
        return values
    return np.transpose(values, (3, 2, 0, 1)) if values.ndim == 4 else values.T


def keras_shape(part: str, name: str, shape: Shape) -> Shape:
    """A tensor's shape in Keras, from its shape in PyTorch."""
    if _is_table(part, name):
        return shape
    return (shape[2], shape[3], shape[1], shape[0]) if len(shape) == 4 else shape[::-1]


def _is_table(part: str, name: str) -> bool:
    """Embeddings are the same in both."""
    return part == TEXT_ENCODER and name.startswith("embeddings.")


def _unet_names(model: Any, names: Mapping[str, Shape]) -> list[str]:
    """The canonical names in the order of the U-Net's weights."""
    modules: dict[type, Iterator[str]] = {
        ResBlock: _modules(names, ".resnets."),
        SpatialTransformer: _modules(names, ".attentions."),
        Upsample: _modules(names, ".upsamplers."),
        PaddedConv2D: iter(
            ["conv_in", *(f"down_blocks.{i}.downsamplers" for i in range(3)), "conv_out"]
        ),
        keras.layers.Dense: iter(["time_embedding.linear_1", "time_embedding.linear_2"]),
        keras.layers.GroupNormalization: iter(["conv_norm_out"]),
    }
    ordered: list[str] = []
    for layer in model.layers:
        if layer.weights:
            module = next(modules[type(layer)])
            ordered += [name for name in names if name.startswith(f"{module}.")]
    return ordered


def _modules(names: Iterable[str], kind: str) -> Iterator[str]:
    """The modules of a kind in the table's order, which is that of the forward pass."""
    found: dict[str, None] = {}
    for name in names:
        before, mark, after = name.partition(kind)
        if mark:
            found[f"{before}{mark}{after.partition('.')[0]}"] = None
    return iter(found)
