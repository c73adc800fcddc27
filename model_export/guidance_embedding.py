"""The guidance scale as an input of the U-Net: how a full latent consistency model is guided.

Its projection is added to the embedding of the timestep (arXiv:2310.04378, section 4.2). Unlike
that one it has the sines first, and its frequencies reach 1 / 10000.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

_MAX_PERIOD = 10000
_SCALE = 1000.0


def embedded(guidance_scale: tf.Tensor, projection: Any) -> tf.Tensor:
    """What to add to the timestep's embedding: float32 [1, D] for a projection [E, D]."""
    half = projection.shape[0] // 2
    frequencies = np.exp(-math.log(_MAX_PERIOD) * np.arange(half) / (half - 1))
    angles = _SCALE * (guidance_scale - 1.0) * tf.constant(frequencies, tf.float32)
    features = tf.concat([tf.sin(angles), tf.cos(angles)], axis=0)
    return features[tf.newaxis] @ tf.cast(projection, tf.float32)
