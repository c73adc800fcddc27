"""What is asked of two implementations of one model, and this project's answers.

Needs TensorFlow only inside the functions, since PyTorch's side reads the questions too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from model_export.networks import Networks
from tests.model_export.checkpoints.state_dicts import random_tensor

TIMESTEP = 801
TOKENS = [49406, 320, 27111, 9038, 320] + [49407] * 72
EMPTY = [49406] + [49407] * 76
GIVEN_CONTEXT = random_tensor("context", (1, 77, 768)) * 30
LATENT = random_tensor("latent", (1, 4, 32, 32)) * 64
"""PyTorch's layout, for 256 px."""


def answers(networks: Networks) -> dict[str, np.ndarray]:
    """Of each network alone."""
    import tensorflow as tf

    context: Any = networks.text_encoder(tf.constant([TOKENS]))
    image: Any = networks.decoder(_latent())
    return {
        "context": context[0, :, ::16].numpy(),
        "noise": noise(networks),
        "image": image[0, ::8, ::8].numpy(),
    }


def noise(networks: Networks) -> np.ndarray:
    """What the U-Net predicts for the latent and the context."""
    import tensorflow as tf

    conditioning = networks.condition(tf.constant(GIVEN_CONTEXT))
    predicted: Any = networks.unet(_latent(), _embedding(TIMESTEP), conditioning)
    return predicted[0].numpy()


def _latent() -> Any:
    import tensorflow as tf

    return tf.constant(np.transpose(LATENT, (0, 2, 3, 1)))


def _embedding(timestep: float) -> Any:
    import tensorflow as tf

    angles = np.exp(-np.log(10000) * np.arange(160) / 160) * timestep
    return tf.constant([[*np.cos(angles), *np.sin(angles)]], tf.float32)
