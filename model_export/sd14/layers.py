"""keras_cv's layers, computed in fewer passes over memory.

The mathematics is the layers' own; only the order of float operations differs. Each function here
takes the place of one layer's `call` and keeps its arguments and answer.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf
from keras_cv.src.models.stable_diffusion.attention_block import AttentionBlock
from keras_cv.src.models.stable_diffusion.diffusion_model import CrossAttention
from keras_cv.src.models.stable_diffusion.padded_conv2d import PaddedConv2D

from model_export.sd14 import attention


def rewrite(*models: Any, calls: Mapping[type, Callable[..., Any]] | None = None) -> None:
    """Makes the layers of keras_cv's U-Net and decoder compute the way `calls` does [CALLS]."""
    for model in models:
        for layer in model._flatten_layers():
            if call := (CALLS if calls is None else calls).get(type(layer)):
                layer.call = types.MethodType(call, layer)


def normalize_groups(layer: Any, inputs: Any) -> Any:
    """GroupNormalization.call: inputs [B, ..., C], normalized over all but B in groups of C.

    (x - mean) / sqrt(variance + epsilon) * gamma + beta of Wu and He (arXiv:1803.08494) is one
    scale and one shift per channel. The means are taken per channel first, which goes through the
    inputs in the order in which they lie in memory, and averaged over a group's channels after
    that.
    """
    channels = inputs.shape[-1]
    places = list(range(1, len(inputs.shape) - 1))
    wide = tf.cast(inputs, tf.float32)

    def group_mean(tensor: Any) -> Any:
        by_channel = tf.reshape(tf.reduce_mean(tensor, places), [-1, layer.groups, members])
        return tf.reduce_mean(by_channel, axis=2, keepdims=True)

    def per_channel(grouped: Any) -> Any:
        return tf.reshape(grouped, [-1, *[1] * len(places), channels])

    members = channels // layer.groups
    gamma, beta = (
        tf.reshape(tf.cast(weight, tf.float32), [layer.groups, members])
        for weight in (layer.gamma, layer.beta)
    )
    mean = group_mean(wide)
    distances = tf.math.squared_difference(wide, per_channel(tf.repeat(mean, members, axis=2)))
    variance = group_mean(distances)
    scale = tf.math.rsqrt(variance + layer.epsilon) * gamma
    normalized = wide * per_channel(scale) + per_channel(beta - mean * scale)
    return tf.cast(normalized, inputs.dtype)


def convolve(layer: Any, inputs: Any) -> Any:
    """PaddedConv2D.call: the convolution pads, instead of a padded copy made before it."""
    rows, columns = layer.padding2d.padding
    padding: Any = [[0, 0], rows, columns, [0, 0]] if any((*rows, *columns)) else "VALID"
    convolution = layer.conv2d
    answers = tf.nn.conv2d(inputs, convolution.kernel, convolution.strides, padding)
    return tf.nn.bias_add(answers, convolution.bias)


CALLS: dict[type, Callable[..., Any]] = {
    AttentionBlock: attention.attend_to_places,
    CrossAttention: attention.attend,
    PaddedConv2D: convolve,
    keras.layers.GroupNormalization: normalize_groups,
}
