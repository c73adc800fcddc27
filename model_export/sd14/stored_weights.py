"""Weights in the form that the U-Net computes with, in the model instead of the original ones.

It takes a few hundred MB more, and no time: `precompute` prepares weights for every picture, which
is little beside twenty steps and much beside four.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf
from keras_cv.src.models.stable_diffusion.diffusion_model import GEGLU, Upsample
from keras_cv.src.models.stable_diffusion.padded_conv2d import PaddedConv2D

from model_export.networks import Networks
from model_export.sd14 import winograd
from model_export.sd14.layers import upsampling_kernels


@dataclass(frozen=True)
class StoredWeights:
    """by_layer: by a layer's id, what `lookup` returns. added: the variables that this is made of.

    replaced: the variables that are no longer read.
    """

    by_layer: Mapping[int, Any]
    added: Sequence[tf.Variable] = ()
    replaced: Sequence[tf.Variable] = ()

    def put_into(self, networks: Networks) -> Networks:
        """The networks with these variables instead of the originals."""
        dropped = {id(variable) for variable in self.replaced}
        kept = [one for one in networks.variables if id(one) not in dropped]
        return replace(networks, variables=[*kept, *self.added])


NONE = StoredWeights({})


@dataclass(frozen=True)
class Projection:
    """kernel: [C, D]. bias: [D]."""

    kernel: tf.Variable
    bias: tf.Variable


def of(unet: Any) -> StoredWeights:
    """What the rewritten layers of keras_cv's U-Net read in another form."""
    found = _Found({}, [], [])
    for block in unet.layers:
        for layer in block._flatten_layers():
            if isinstance(layer, GEGLU):
                _store_projections(layer, found)
            elif isinstance(layer, PaddedConv2D):
                _store_kernels(layer, block, found)
    return StoredWeights(found.by_layer, found.added, found.replaced)


@dataclass(frozen=True)
class _Found:
    by_layer: dict[int, Any]
    added: list[tf.Variable]
    replaced: list[tf.Variable]

    def variable(self, value: Any) -> tf.Variable:
        self.added.append(tf.Variable(value, trainable=False))
        return self.added[-1]


def _store_projections(layer: Any, found: _Found) -> None:
    """Half of a GEGLU's values, and its gates."""
    kernels, biases = (
        tf.split(tf.convert_to_tensor(one), 2, axis=-1)
        for one in (layer.dense.kernel, layer.dense.bias)
    )
    found.by_layer[id(layer)] = tuple(
        Projection(found.variable(kernel * factor), found.variable(bias * factor))
        for kernel, bias, factor in zip(kernels, biases, (0.5, 1.0), strict=True)
    )
    found.replaced.extend((layer.dense.kernel.value, layer.dense.bias.value))


def _store_kernels(layer: Any, block: Any, found: _Found) -> None:
    """block: the layer of the U-Net that the layer is in, whose outputs are as large."""
    convolution = layer.conv2d
    outputs = block._inbound_nodes[0].outputs[0].shape
    is_plain = convolution.strides == (1, 1) and convolution.compute_dtype == "float32"
    if isinstance(block, Upsample):
        stored: Any = tuple(found.variable(one) for one in upsampling_kernels(layer))
    elif is_plain and winograd.fits(convolution.kernel.shape, side=outputs[1]):
        kernel = winograd.transformed(tf.convert_to_tensor(convolution.kernel))
        stored = replace(kernel, values=found.variable(kernel.values))
    else:
        return
    found.by_layer[id(layer)] = stored
    found.replaced.append(convolution.kernel.value)
