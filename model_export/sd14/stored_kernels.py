"""Kernels in the form that the U-Net computes with, in the model instead of the original ones.

It takes a few hundred MB more, and no time: `precompute` prepares kernels for every picture, which
is little beside twenty steps and much beside four.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf
from keras_cv.src.models.stable_diffusion.diffusion_model import Upsample
from keras_cv.src.models.stable_diffusion.padded_conv2d import PaddedConv2D

from model_export.networks import Networks
from model_export.sd14 import winograd
from model_export.sd14.layers import upsampling_kernels


@dataclass(frozen=True)
class StoredKernels:
    """by_layer: by a PaddedConv2D's id, what `lookup` returns. replaced: the originals."""

    by_layer: Mapping[int, Any]
    replaced: Sequence[tf.Variable] = ()

    def put_into(self, networks: Networks) -> Networks:
        """The networks with these variables instead of the originals."""
        dropped = {id(variable) for variable in self.replaced}
        kept = [one for one in networks.variables if id(one) not in dropped]
        return replace(networks, variables=[*kept, *_variables(self.by_layer)])


NONE = StoredKernels({})


def of(unet: Any) -> StoredKernels:
    """The kernels of keras_cv's U-Net that its rewritten layers use in another form."""
    by_layer: dict[int, Any] = {}
    replaced: list[tf.Variable] = []
    for block in unet.layers:
        for layer in block._flatten_layers():
            if isinstance(layer, PaddedConv2D) and (stored := _stored(layer, block)) is not None:
                by_layer[id(layer)] = stored
                replaced.append(layer.conv2d.kernel.value)
    return StoredKernels(by_layer, replaced)


def _stored(layer: Any, block: Any) -> Any:
    """block: the layer of the U-Net that the layer is in, whose outputs are as large."""
    if isinstance(block, Upsample):
        return tuple(tf.Variable(one, trainable=False) for one in upsampling_kernels(layer))
    convolution = layer.conv2d
    outputs = block._inbound_nodes[0].outputs[0].shape
    is_plain = convolution.strides == (1, 1) and convolution.compute_dtype == "float32"
    if is_plain and winograd.fits(convolution.kernel.shape, side=outputs[1]):
        return winograd.transformed(tf.convert_to_tensor(convolution.kernel))
    return None


def _variables(by_layer: Mapping[int, Any]) -> list[tf.Variable]:
    found: list[tf.Variable] = []
    for stored in by_layer.values():
        found += [stored.values] if isinstance(stored, winograd.Kernel) else stored
    return found
