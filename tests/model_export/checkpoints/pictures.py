"""Whole pictures that two implementations of one model draw, and how this project draws them.

Both start from the same latent and add the same noise between steps. Needs TensorFlow only inside
the functions, since PyTorch's side reads the recipes too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

from model_export.networks import Networks
from model_export.prediction_types import EPSILON, V
from model_export.spec import ModelSpec
from model_export.tiny_decoder.weights import random_tensors
from tests.model_export.checkpoints.drawn import EMPTY, LATENT, TOKENS
from tests.model_export.checkpoints.state_dicts import Tensors, random_tensor

SIZE, STEPS = 256, 4
NOISE = [random_tensor(f"noise {i}", LATENT.shape) * 64 for i in range(STEPS)]
"""What step i adds, in PyTorch's layout."""
KEPT_EVERY = 4
"""Of a picture's rows and columns, one in so many is stored."""


@dataclass(frozen=True)
class Recipe:
    """has_embedding: of a full latent consistency model, whose U-Net is told the guidance scale."""

    sampler: str
    guidance: float = 1.0
    has_tiny_decoder: bool = False
    has_embedding: bool = False
    prediction_type: str = EPSILON

    def settings(self) -> dict[str, Any]:
        """Of a model that draws by it. The sampler says the rest of its range."""
        if self.has_embedding:
            return {}
        ranges = {"steps": STEPS, "guidance_scale": self.guidance}
        if self.guidance == 1.0:
            ranges["max_guidance_scale"] = 1.0
        return {"sampler": self.sampler, "prediction_type": self.prediction_type} | ranges


RECIPES = {
    "lcm": Recipe("lcm"),
    "tcd": Recipe("tcd"),
    "euler": Recipe("euler_trailing"),
    "tiny decoder": Recipe("lcm", has_tiny_decoder=True),
    "full lcm": Recipe("lcm", guidance=8.0, has_embedding=True),
}
MORE_RECIPES = {
    "prompt alone": Recipe("ddim_trailing"),
    "guided": Recipe("ddim_trailing", guidance=7.5),
    "guided lcm": Recipe("lcm", guidance=1.5),
    "of v": Recipe("ddim_trailing", guidance=7.5, prediction_type=V),
}
"""Of ordinary models, or with the negative prompt too, for twice the work."""


def tiny_decoder() -> Tensors:
    """Random, with most colours between black and white."""
    tensors = random_tensors(7)
    return tensors | {"19.weight": 0.1 * tensors["19.weight"], "19.bias": tensors["19.bias"] + 0.5}


def draw(networks: Networks, spec: ModelSpec, recipe: Recipe) -> np.ndarray:
    """uint8 [256, 256, 3], by the functions of the exported graph."""
    import tensorflow as tf

    from model_export import drawing

    noise = tf.constant(np.concatenate(NOISE).transpose(0, 2, 3, 1))
    latent = tf.constant(LATENT[0].transpose(1, 2, 0))
    with (
        mock.patch.object(drawing, "initial_noise", lambda _seed, _shape: latent),
        mock.patch.object(drawing, "noise_of_step", lambda i, _seed, _shape: tf.gather(noise, i)),
    ):
        row: Any = drawing.RowFunctions(spec, networks)
        asked = tf.constant(TOKENS), tf.constant(EMPTY), tf.constant(STEPS)
        seed = tf.constant(0, tf.int64)
        return row.draw(*asked, tf.constant(recipe.guidance), seed).numpy()


def compared(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """(the share of values within 1 of 255, the largest difference)"""
    difference = np.abs(one.astype(np.float64) - other)
    return float(np.mean(difference <= 1)), float(difference.max())


def are_equal(one: np.ndarray, other: np.ndarray) -> bool:
    """99.9 % of the values within 1 of 255, and none further than 3."""
    share, largest = compared(one, other)
    return share >= 0.999 and largest <= 3
