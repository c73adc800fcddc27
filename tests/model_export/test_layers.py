"""Rewritten layers compute the same as keras_cv's own."""

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


def upsampling() -> Any:
    from keras_cv.src.models.stable_diffusion.diffusion_model import Upsample

    return Upsample(24)


def residual_block() -> Any:
    from keras_cv.src.models.stable_diffusion.diffusion_model import ResBlock

    return ResBlock(32)


def decoders_residual_block(channels: int) -> Callable[[], Any]:
    def build() -> Any:
        from keras_cv.src.models.stable_diffusion.resnet_block import ResnetBlock

        return ResnetBlock(channels)

    return build


def attention_block() -> Any:
    from keras_cv.src.models.stable_diffusion.attention_block import AttentionBlock

    return AttentionBlock(64)


def cross_attention() -> Any:
    from keras_cv.src.models.stable_diffusion.diffusion_model import CrossAttention

    return CrossAttention(num_heads=4, head_size=16)


LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...] | list[tuple[int, ...]]]] = {
    "normalization of a feature map": (group_normalization, SHAPE),
    "normalization of tokens": (group_normalization, (2, 48, 64)),
    "convolution": (padded_convolution(padding=1, strides=1, kernel_size=3), SHAPE),
    "convolution that halves": (padded_convolution(padding=1, strides=2, kernel_size=3), SHAPE),
    "convolution over many positions": (padded_convolution(1, 1, 3), (2, 16, 12, 8)),
    "downsampling convolution over many positions": (padded_convolution(1, 2, 3), (2, 32, 24, 8)),
    "convolution after upsampling": (upsampling, SHAPE),
    "convolution after upsampling to many positions": (upsampling, (2, 16, 12, 8)),
    "the U-Net's residual": (residual_block, [SHAPE, (2, 16)]),
    "the decoder's residual": (decoders_residual_block(64), SHAPE),
    "the decoder's residual that projects": (decoders_residual_block(32), SHAPE),
    "1 by 1 convolution": (padded_convolution(padding=0, strides=1, kernel_size=1), SHAPE),
    "the decoder's attention": (attention_block, SHAPE),
    "the U-Net's attention": (cross_attention, (2, 48, 64)),
}


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("mean", [0.0, 30.0])
@pytest.mark.parametrize("name", LAYERS)
def test_a_rewritten_layer_computes_the_same(name: str, mean: float, precision: str) -> None:
    import keras
    import tensorflow as tf

    from model_export.sd14.layers import rewrite

    build, shape = LAYERS[name]
    random = np.random.default_rng(0)

    def draw(size: tuple[int, ...]) -> Any:
        return tf.cast(random.normal(mean, size=size), precision)

    inputs = [draw(size) for size in shape] if isinstance(shape, list) else draw(shape)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        layer = build()
        layer(inputs)  # some make layers of their own at the first call
    finally:
        keras.config.set_dtype_policy(before)
    for variable in layer.variables:
        variable.assign(random.normal(size=variable.shape) / max(1, len(variable.shape)) ** 2)

    expected = tf.cast(layer.call(inputs), tf.float32).numpy()
    own_call = layer.call
    rewrite(mock.Mock(_flatten_layers=layer._flatten_layers))
    assert layer.call != own_call
    outputs = layer(inputs)
    assert outputs.dtype == precision
    difference = np.abs(tf.cast(outputs, tf.float32).numpy() - expected).max()
    assert difference <= TOLERANCE[precision] * max(mean, np.abs(expected).max())


def test_equal_numbers_are_normalized_to_beta() -> None:
    import tensorflow as tf

    from model_export.sd14.layers import normalize_groups

    layer = group_normalization()
    inputs = tf.fill(SHAPE, 1000.1)
    layer(inputs)
    layer.beta.assign(tf.fill([64], 0.25))
    outputs = normalize_groups(layer, inputs).numpy()
    assert np.abs(outputs - 0.25).max() < 0.05


def test_the_decoders_upsampling_is_fused_with_its_convolutions() -> None:
    import keras
    import tensorflow as tf
    from keras_cv.src.models.stable_diffusion.padded_conv2d import PaddedConv2D

    from model_export.sd14.layers import decode

    layers = [PaddedConv2D(4, 1), keras.layers.UpSampling2D(2), PaddedConv2D(6, 3, padding=1)]
    model = keras.Sequential([keras.Input((5, 7, 4)), *layers, keras.layers.Activation("swish")])
    inputs = tf.random.stateless_normal((1, 5, 7, 4), seed=[0, 0])
    graph = tf.function(lambda: decode(model, inputs)).get_concrete_function()
    assert not any(
        "Resize" in one.type or one.type == "Tile" for one in graph.graph.get_operations()
    )
    np.testing.assert_allclose(graph(), model(inputs), atol=1e-6)
