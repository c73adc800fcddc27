"""Rewritten layers answer what keras_cv's own answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest

SHAPE = (2, 8, 6, 64)
TOLERANCE = {"float32": 2e-6, "bfloat16": 2e-2}
"""Relative to the largest number; bfloat16 has 8 bits."""


def group_normalization() -> Any:
    import keras

    return keras.layers.GroupNormalization(epsilon=1e-5)


def padded_convolution(padding: int, strides: int, kernel_size: int) -> Callable[[], Any]:
    def build() -> Any:
        from keras_cv.src.models.stable_diffusion.padded_conv2d import PaddedConv2D

        return PaddedConv2D(24, kernel_size, padding, strides)

    return build


def attention_block() -> Any:
    from keras_cv.src.models.stable_diffusion.attention_block import AttentionBlock

    return AttentionBlock(64)


def cross_attention() -> Any:
    from keras_cv.src.models.stable_diffusion.diffusion_model import CrossAttention

    return CrossAttention(num_heads=4, head_size=16)


LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "normalization of places": (group_normalization, SHAPE),
    "normalization of tokens": (group_normalization, (2, 48, 64)),
    "convolution": (padded_convolution(padding=1, strides=1, kernel_size=3), SHAPE),
    "convolution that halves": (padded_convolution(padding=1, strides=2, kernel_size=3), SHAPE),
    "convolution of places": (padded_convolution(padding=0, strides=1, kernel_size=1), SHAPE),
    "the decoder's attention": (attention_block, SHAPE),
    "the U-Net's attention": (cross_attention, (2, 48, 64)),
}


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("mean", [0.0, 30.0])
@pytest.mark.parametrize("name", LAYERS)
def test_a_rewritten_layer_answers_the_same(name: str, mean: float, precision: str) -> None:
    import keras
    import tensorflow as tf

    from model_export.sd14.layers import rewrite

    build, shape = LAYERS[name]
    random = np.random.default_rng(0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        layer = build()
    finally:
        keras.config.set_dtype_policy(before)
    inputs = tf.cast(random.normal(mean, size=shape), precision)
    layer(inputs)
    for variable in layer.variables:
        variable.assign(random.normal(size=variable.shape) / max(1, len(variable.shape)) ** 2)

    expected = tf.cast(layer.call(inputs), tf.float32).numpy()
    own_call = layer.call
    rewrite(mock.Mock(_flatten_layers=layer._flatten_layers))
    assert layer.call != own_call
    answers = layer(inputs)
    assert answers.dtype == precision
    difference = np.abs(tf.cast(answers, tf.float32).numpy() - expected).max()
    assert difference <= TOLERANCE[precision] * max(mean, np.abs(expected).max())


def test_equal_numbers_are_normalized_to_beta() -> None:
    import tensorflow as tf

    from model_export.sd14.layers import normalize_groups

    layer = group_normalization()
    inputs = tf.fill(SHAPE, 1000.1)
    layer(inputs)
    layer.beta.assign(tf.fill([64], 0.25))
    answers = normalize_groups(layer, inputs).numpy()
    assert np.abs(answers - 0.25).max() < 0.05
