"""keras_cv's layers, computed in fewer passes over memory.

The mathematics is the layers' own; only the order of float operations differs. Each function here
replaces one layer's `call`, with the same arguments and the same output.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf
from keras_cv.src.models.stable_diffusion.attention_block import AttentionBlock
from keras_cv.src.models.stable_diffusion.decoder import Decoder
from keras_cv.src.models.stable_diffusion.diffusion_model import (
    GEGLU,
    CrossAttention,
    ResBlock,
    Upsample,
)
from keras_cv.src.models.stable_diffusion.padded_conv2d import PaddedConv2D
from keras_cv.src.models.stable_diffusion.resnet_block import ResnetBlock

from model_export.sd14 import attention, precompute, winograd

MAX_PRODUCT_POSITIONS = 144
"""Convolutions with at most this many output positions are computed as one matrix product."""


def rewrite(*models: Any, calls: Mapping[type, Callable[..., Any]] | None = None) -> None:
    """Replaces the `call` of the layers of keras_cv's U-Net and decoder by `calls` [CALLS]."""
    for model in models:
        for layer in model._flatten_layers():
            if call := (CALLS if calls is None else calls).get(type(layer)):
                layer.call = types.MethodType(call, layer)


def normalize_groups(layer: Any, inputs: Any) -> Any:
    """GroupNormalization.call: inputs [B, ..., C], normalized per row and group of channels.

    (x - mean) / sqrt(variance + epsilon) * gamma + beta (Wu and He, arXiv:1803.08494) is one scale
    and one shift per channel. The means are first taken per channel, which reads the inputs in
    memory order, and then averaged over each group's channels.
    """
    return tf.cast(_normalized(layer, inputs), inputs.dtype)


def _normalized(layer: Any, inputs: Any) -> Any:
    """The layer's output in float32."""
    channels = inputs.shape[-1]
    axes = list(range(1, len(inputs.shape) - 1))
    wide = tf.cast(inputs, tf.float32)

    def group_mean(tensor: Any) -> Any:
        by_channel = tf.reshape(tf.reduce_mean(tensor, axes), [-1, layer.groups, members])
        return tf.reduce_mean(by_channel, axis=2, keepdims=True)

    def per_channel(grouped: Any) -> Any:
        return tf.reshape(grouped, [-1, *[1] * len(axes), channels])

    members = channels // layer.groups
    gamma, beta = (
        tf.reshape(tf.cast(weight, tf.float32), [layer.groups, members])
        for weight in (layer.gamma, layer.beta)
    )
    mean = group_mean(wide)
    distances = tf.math.squared_difference(wide, per_channel(tf.repeat(mean, members, axis=2)))
    variance = group_mean(distances)
    scale = tf.math.rsqrt(variance + layer.epsilon) * gamma
    return wide * per_channel(scale) + per_channel(beta - mean * scale)


def _activated(norm: Any, inputs: Any) -> Any:
    """Group normalization and swish, fused: rounded once."""
    return tf.cast(tf.nn.silu(_normalized(norm, inputs)), inputs.dtype)


def unet_residual_block(layer: Any, inputs: Any) -> Any:
    """ResBlock.call: inputs are a feature map [B, h, w, C] and an embedding [B, D]."""
    features, embedding = inputs
    (norm, _, convolution), (last_norm, _, last_convolution) = layer.entry_flow, layer.exit_flow
    for one in layer.embedding_flow:
        embedding = one(embedding)
    hidden = convolution(_activated(norm, features)) + embedding[:, tf.newaxis, tf.newaxis]
    return last_convolution(_activated(last_norm, hidden)) + layer.residual_projection(features)


def decoder_residual_block(layer: Any, inputs: Any) -> Any:
    """ResnetBlock.call: inputs [B, h, w, C]."""
    hidden = layer.conv1(_activated(layer.norm1, inputs))
    return layer.conv2(_activated(layer.norm2, hidden)) + layer.residual_projection(inputs)


def convolve_upsampled(layer: Any, inputs: Any) -> Any:
    """Upsampling by 2 and PaddedConv2D.call, 3 by 3, fused: [B, h, w, C] to [B, 2h, 2w, K].

    Of the three positions that a row of the kernel sees, two are copies of one input position, so
    their weights are added first. This makes four 2 by 2 convolutions, one for each of the four
    output positions of an input position, with 4/9 of the multiplications.
    """
    outputs: list[Any] = []
    kernels = precompute.lookup(layer, lambda: upsampling_kernels(layer))
    for position, kernel in enumerate(kernels):
        row, column = divmod(position, 2)
        padding: Any = [[0, 0], [1 - row, row], [1 - column, column], [0, 0]]
        part = _convolved(inputs, kernel, (1, 1), padding)
        outputs.append(tf.nn.bias_add(part, layer.conv2d.bias))
    rows = [tf.stack(outputs[:2], axis=3), tf.stack(outputs[2:], axis=3)]  # [B, h, w, 2, K]
    _, height, width, channels = outputs[0].shape
    return tf.reshape(tf.stack(rows, axis=2), [-1, 2 * height, 2 * width, channels])


def upsampling_kernels(layer: Any) -> tuple[Any, ...]:
    """A PaddedConv2D's weights summed for upsampling: four [2, 2, C, K], row by row."""
    kernel = tf.cast(layer.conv2d.kernel, tf.float32)
    above, middle, below = tf.unstack(kernel)
    by_row = [tf.stack(pair) for pair in ((above, middle + below), (above + middle, below))]
    kernels: list[Any] = []
    for of_row in by_row:
        left, centre, right = tf.unstack(of_row, axis=1)
        for pair in ((left, centre + right), (left + centre, right)):
            kernels.append(tf.cast(tf.stack(pair, axis=1), layer.conv2d.compute_dtype))
    return tuple(kernels)


def upsample(layer: Any, inputs: Any) -> Any:
    """Upsample.call, the U-Net's."""
    return convolve_upsampled(layer.conv, inputs)


def gate(layer: Any, inputs: Any) -> Any:
    """GEGLU.call: inputs [B, n, C], of which one projection is multiplied by the other's GELU.

    Where the two are stored apart, each is one product with its bias, and nothing is sliced; the
    GELU is x · (1 + erf(x / √2)) / 2 (Hendrycks and Gimpel, arXiv:1606.08415), which takes fewer
    operations than keras_cv's approximation.
    """
    stored = precompute.lookup(layer, lambda: None)
    if stored is None:
        return GEGLU.call(layer, inputs)
    flat = tf.reshape(inputs, [-1, inputs.shape[2]])
    half_values, gates = (tf.nn.bias_add(flat @ one.kernel, one.bias) for one in stored)
    gated = half_values * (gates * (1.0 + tf.math.erf(gates * 0.5**0.5)))
    return tf.reshape(gated, [-1, inputs.shape[1], layer.output_dim])


def concatenate(layer: Any, inputs: Any) -> Any:
    """Concatenate.call: an input of one row is repeated for every row of the others."""
    others = [one for one in inputs if one.shape[0] != 1]
    if others:
        rows = others[0].shape[0] or tf.shape(others[0])[0]
        inputs = [tf.repeat(one, rows, axis=0) if one.shape[0] == 1 else one for one in inputs]
    return tf.concat(inputs, axis=layer.axis)


def decode(model: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
    """Decoder.call: its layers in order, with each upsampling fused into the next convolution."""
    layers = iter(model.layers)
    for layer in layers:
        is_upsampling = isinstance(layer, keras.layers.UpSampling2D)
        inputs = convolve_upsampled(next(layers), inputs) if is_upsampling else layer(inputs)
    return inputs


def convolve(layer: Any, inputs: Any) -> Any:
    """PaddedConv2D.call: the convolution pads, instead of making a padded copy first."""
    convolution = layer.conv2d
    stored = precompute.lookup(layer, lambda: None)
    if stored is not None:
        return tf.nn.bias_add(winograd.convolve(inputs, stored), convolution.bias)
    padding: Any = [[0, 0], *layer.padding2d.padding, [0, 0]]
    outputs = _convolved(inputs, convolution.kernel, convolution.strides, padding)
    return tf.nn.bias_add(outputs, convolution.bias)


def _convolved(inputs: Any, kernel: Any, strides: tuple[int, int], padding: Any) -> Any:
    """inputs [B, h, w, C] convolved with kernel [a, b, C, K].

    oneDNN packs a convolution's weights again at every call. With few positions, that takes longer
    than the convolution itself; a matrix product uses the weights as they are.
    """
    height, width = (
        (inputs.shape[axis] + sum(padding[axis]) - kernel.shape[axis - 1]) // stride + 1
        for axis, stride in zip((1, 2), strides, strict=True)
    )
    if height * width <= MAX_PRODUCT_POSITIONS:
        return _as_matrix_product(tf.pad(inputs, padding), kernel, strides, height, width)
    if not any(sum(sides) for sides in padding):
        padding = "VALID"
    return tf.nn.conv2d(inputs, kernel, strides, padding)


def _as_matrix_product(
    inputs: Any, kernel: Any, strides: tuple[int, int], height: int, width: int
) -> Any:
    """The convolution of padded inputs as one product: each position's neighbourhood × weights.

    Known as im2col (Chellapilla, Puri and Simard, 2006).
    """
    kernel_height, kernel_width, _, filters = kernel.shape
    down, right = strides
    shifted = [
        inputs[:, row : row + down * height : down, column : column + right * width : right]
        for row in range(kernel_height)
        for column in range(kernel_width)
    ]
    neighbourhoods = tf.concat(shifted, axis=3)
    size = neighbourhoods.shape[3]
    products = tf.matmul(
        tf.reshape(neighbourhoods, [-1, size]), tf.reshape(kernel, [size, filters])
    )
    return tf.reshape(products, [-1, height, width, filters])


CALLS: dict[type, Callable[..., Any]] = {
    AttentionBlock: attention.spatial_self_attention,
    CrossAttention: attention.cross_attention,
    Decoder: decode,
    GEGLU: gate,
    PaddedConv2D: convolve,
    ResBlock: unet_residual_block,
    ResnetBlock: decoder_residual_block,
    Upsample: upsample,
    keras.layers.Concatenate: concatenate,
    keras.layers.GroupNormalization: normalize_groups,
}
