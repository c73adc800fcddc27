"""The layers that the demo model has of its own, and keras_cv's at its small width."""

from __future__ import annotations

from typing import Any

import numpy as np

from model_export.demo.noise_schedule import (
    TRAINED_TIMESTEPS,
    embedding_frequencies,
    preconditioning,
)

NORM_GROUPS = 8
"""keras_cv's 32 groups would normalize every channel alone here, which loses the mean colour."""


def precondition_layer() -> Any:
    """A layer from the timestep embedding to the timestep's `preconditioning` row."""
    import keras

    slowest = float(embedding_frequencies()[-1])
    table = preconditioning().astype(np.float32)

    class Precondition(keras.layers.Layer):
        def call(self, embedding: Any) -> Any:
            # The slowest sine stays within its first quarter period, so it determines the timestep.
            timestep: Any = keras.ops.arcsin(embedding[:, -1])
            index = keras.ops.cast(keras.ops.round(timestep / slowest), "int32")
            index = keras.ops.clip(index, 0, TRAINED_TIMESTEPS - 1)
            rows: Any = keras.ops.take(keras.ops.convert_to_tensor(table), index, axis=0)
            rows = rows[:, None, None, :]
            return rows[..., 0:1], rows[..., 1:2], rows[..., 2:3]

    return Precondition(name="precondition")


def position_embedding() -> Any:
    """A layer that adds a learned vector, initially zero, to every position of a feature map.

    Convolutions and attention know positions only by the padding at the borders. Without this the
    model reads the layout from the noise, long before it learns to read it from the text.
    """
    import keras

    # Its name is in the exported graph: renaming it changes the graph.
    class PlaceEmbedding(keras.layers.Layer):
        def build(self, input_shape: Any) -> None:
            shape = (1, *input_shape[1:])
            self.embedding = self.add_weight(shape=shape, initializer="zeros", name="embedding")

        def call(self, features: Any) -> Any:
            return features + self.embedding

    return PlaceEmbedding()


def group_norm() -> Any:
    import keras

    return keras.layers.GroupNormalization(groups=NORM_GROUPS, epsilon=1e-5)


def resnet_block(channels: int) -> Any:
    from keras_cv.src.models.stable_diffusion.resnet_block import ResnetBlock

    return with_groups(ResnetBlock(channels))


def with_groups(layer: Any) -> Any:
    import keras

    for part in layer._flatten_layers():
        if isinstance(part, keras.layers.GroupNormalization):
            part.groups = NORM_GROUPS
    return layer
