"""`bench.layers`: all variants that are timed compute the same networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest

from bench import layers

FEATURE_MAP, TOKENS = (2, 16, 16, 64), (2, 256, 64)
TOLERANCE = 1e-5
"""Relative to the largest number: Winograd's transform loses a digit."""


def layer_of(kind: str) -> Any:
    import keras
    from keras_cv.src.models.stable_diffusion.attention_block import AttentionBlock
    from keras_cv.src.models.stable_diffusion.diffusion_model import GEGLU, CrossAttention
    from keras_cv.src.models.stable_diffusion.padded_conv2d import PaddedConv2D

    build: dict[str, Callable[[], Any]] = {
        "GroupNormalization": keras.layers.GroupNormalization,
        "LayerNormalization": keras.layers.LayerNormalization,
        "Dense": lambda: keras.layers.Dense(24),
        "GEGLU": lambda: GEGLU(24),
        "AttentionBlock": lambda: AttentionBlock(64),
        "CrossAttention": lambda: CrossAttention(num_heads=4, head_size=16),
        "PaddedConv2D": lambda: PaddedConv2D(64, 3, padding=1),
    }
    return build[kind]()


@pytest.mark.slow
def test_tried_variants_match_keras_cv() -> None:
    import tensorflow as tf

    from model_export.sd14 import attention
    from model_export.sd14.layers import CALLS

    random = np.random.default_rng(0)
    changed = [
        (kind, call)
        for variant in layers.variants().values()
        for kind, call in variant.calls.items()
        if variant.is_tried and CALLS.get(kind) is not call
    ]
    assert len(changed) >= 5
    for kind, call in changed:
        layer = layer_of(kind.__name__)
        assert type(layer) is kind
        shape = TOKENS if kind.__name__ in ("GEGLU", "CrossAttention") else FEATURE_MAP
        inputs = tf.constant(random.normal(size=shape), tf.float32)
        layer(inputs)
        layer.set_weights([random.normal(size=one.shape) for one in layer.get_weights()])
        expected = np.asarray(layer(inputs))
        with (
            mock.patch.object(layers, "WINOGRAD_CHANNELS", 64),
            mock.patch.object(layers, "WINOGRAD_WIDTH", 16),
            mock.patch.object(attention, "MAX_SCORE_BYTES", 2**16),
        ):
            found = np.asarray(call(layer, inputs))
        tolerance = TOLERANCE * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, atol=tolerance, err_msg=call.__name__)


def test_the_signal_to_noise_ratio_is_in_decibels() -> None:
    one = np.full(4, 10.0)
    assert layers.signal_to_noise(one, one + 1.0) == pytest.approx(20.0)
    assert layers.signal_to_noise(one, one) == float("inf")


def test_graphs_are_optimized_once_on_request() -> None:
    from tensorflow.python.eager import context

    eager: Any = context.context()
    before = eager.function_call_options
    try:
        layers.optimize_once()
        after = eager.function_call_options.config_proto_serialized
        assert iterations_of(before.config_proto_serialized) == "DEFAULT_NUM_ITERS"
        assert iterations_of(after) == "ONE"
    finally:
        eager.function_call_options = before


def iterations_of(config: bytes) -> str:
    import tensorflow as tf

    rewrites = tf.compat.v1.ConfigProto.FromString(config).graph_options.rewrite_options
    return rewrites.NumIterationsType.Name(rewrites.meta_optimizer_iterations)
