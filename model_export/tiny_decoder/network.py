"""TAESD's decoder in TensorFlow.

It takes the U-Net's latent as it is, and gives colours from 0 to 1; the other decoders' go from
−1 to 1. Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from model_export.tiny_decoder.architecture import FIRST, LAYERS, Block, Convolution

_CLAMP = 3.0
"""Latents are squashed into this range either way."""


class TinyDecoder:
    """latent float32 [N, h, w, 4] → picture float32 [N, 8h, 8w, 3] in −1 to 1."""

    def __init__(self, tensors: Mapping[str, np.ndarray], precision: str) -> None:
        """tensors: those of `architecture.shapes`. precision: of the weights, and of the work."""
        self._precision = tf.as_dtype(precision)
        self._variables = {
            name: tf.Variable(
                tf.cast(
                    np.transpose(values, (2, 3, 1, 0)) if values.ndim == 4 else values,
                    self._precision,
                ),
                trainable=False,
                name=name.replace(".", "_"),
            )
            for name, values in tensors.items()
        }
        self.variables = list(self._variables.values())

    def __call__(self, latent: tf.Tensor) -> tf.Tensor:
        hidden = tf.cast(_CLAMP * tf.tanh(latent / _CLAMP), self._precision)
        for layer in LAYERS:
            hidden = (
                self._block(layer, hidden)
                if isinstance(layer, Block)
                else self._plain(layer, hidden)
            )
        return 2.0 * tf.cast(hidden, tf.float32) - 1.0

    def _plain(self, layer: Convolution, inputs: tf.Tensor) -> tf.Tensor:
        if layer.upsamples:
            inputs = tf.repeat(tf.repeat(inputs, 2, axis=1), 2, axis=2)
        outputs = self._convolved(str(layer.number), inputs)
        return tf.nn.relu(outputs) if layer is FIRST else outputs

    def _block(self, block: Block, inputs: tf.Tensor) -> tf.Tensor:
        first, second, third = block.convolutions
        hidden = tf.nn.relu(self._convolved(first, inputs))
        hidden = tf.nn.relu(self._convolved(second, hidden))
        return tf.nn.relu(self._convolved(third, hidden) + inputs)

    def _convolved(self, name: str, inputs: tf.Tensor) -> tf.Tensor:
        outputs = tf.nn.conv2d(inputs, self._variables[f"{name}.weight"], 1, "SAME")
        bias = self._variables.get(f"{name}.bias")
        return outputs if bias is None else tf.nn.bias_add(outputs, bias)
