"""A small picture from a latent at next to no cost: a linear map, fitted on the model's decoder.

A pixel is M·(z − z̄) + N·z̄ + b: z is its position's latent, z̄ the mean over the picture, M and N
are 3×4 matrices. In Stable Diffusion a position holds its own colour, and M = N. The demo model
keeps the background's colour in small differences all over its latent, and N is another matrix.

A decoder that is quick enough draws the preview itself, at half the picture's size.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model_export.drawing import RowFunctions, to_pixels
from model_export.networks import Networks
from model_export.spec import ModelSpec
from model_export.tokenizer import ClipTokenizer

_DRAWN_STEPS = 4
_RANDOM_LATENTS = 4
_RANDOM_SIDE = 16
"""Of a smaller latent than a picture's, to save time: the decoder is a convolutional network."""
_PATCH = 4
_SHARES = {"picture": 0.3, "patch": 0.6, "position": 0.1}
"""Of a random latent's variance of 1: most of a picture's latent varies slowly."""
_FRACTION = 1024
"""The map is rounded to this fraction of a pixel's range of −1 to 1, a thousandth. So the last bits
of the decoder's results, which differ between processors, are not in the graph."""


class Preview(Protocol):
    def draw(self, latent: tf.Tensor) -> tf.Tensor:
        """float32 [N, h, w, 4] → uint8 [N, H, W, 3]"""
        ...


class DecodedPreview:
    """The decoder's picture of the latent, averaged over every 2×2 positions."""

    def __init__(self, decoder: Callable[[tf.Tensor], tf.Tensor]) -> None:
        self._decoder = decoder

    def draw(self, latent: tf.Tensor) -> tf.Tensor:
        return to_pixels(self._decoder(tf.nn.avg_pool2d(latent, 2, 2, "VALID")))


class LinearPreview:
    """The map of one model: float [9, 3], with M, N and b one under the other."""

    def __init__(self, coefficients: NDArray[np.float64]) -> None:
        self._local, self._whole, self._bias = (
            tf.constant(part, tf.float32) for part in np.split(coefficients, [4, 8])
        )

    def draw(self, latent: tf.Tensor) -> tf.Tensor:
        mean = tf.reduce_mean(latent, axis=[1, 2], keepdims=True)
        of_position = tf.tensordot(latent - mean, self._local, 1)
        return to_pixels(of_position + tf.tensordot(mean, self._whole, 1) + self._bias)


def fitted(
    spec: ModelSpec, networks: Networks, row: RowFunctions, tokenizer: ClipTokenizer
) -> Preview:
    """Fitted on pictures of the prompts that the networks name, or else on random latents; or by
    the decoder itself.

    Random latents have too few means for a second matrix.
    """
    if networks.decoder_draws_previews:
        return DecodedPreview(networks.decoder)
    if networks.preview_prompts:
        latents = _drawn_latents(spec, networks.preview_prompts, row, tokenizer)
        mean = latents.mean(axis=(1, 2), keepdims=True)
        inputs = [latents - mean, np.broadcast_to(mean, latents.shape)]
        return LinearPreview(_solved(inputs, _downscaled(networks, latents)))
    latents = _random_latents(min(_RANDOM_SIDE, *networks.latent_shape[:2]))
    solution = _solved([latents], _downscaled(networks, latents))
    return LinearPreview(np.concatenate([solution[:4], solution]))


def _drawn_latents(
    spec: ModelSpec, prompts: Sequence[str], row: RowFunctions, tokenizer: ClipTokenizer
) -> NDArray[np.float32]:
    """What the model draws for the prompts in a few steps."""
    tokens = tokenizer(tf.constant([spec.negative_prompt, *prompts])).tokens
    steps = tf.constant(min(_DRAWN_STEPS, spec.max_steps))
    guidance_scale = tf.constant(spec.guidance_scale)
    drawn: list[NDArray[np.float32]] = []
    for seed, prompt in enumerate(tf.unstack(tokens[1:])):
        context = row.encode(prompt, tokens[0], guidance_scale)
        start = row.start(tf.constant(seed, tf.int64))
        end = row.advance(context, steps, guidance_scale, steps, start)
        drawn.append(end.latent.numpy())
    return np.concatenate(drawn)


def _random_latents(side: int) -> NDArray[np.float32]:
    """Noise in patches, with a mean of its own for each latent: float32 [N, side, side, 4]."""
    random = np.random.default_rng(0)

    def noise(positions: int) -> NDArray[np.float64]:
        drawn = random.standard_normal((_RANDOM_LATENTS, positions, positions, 4))
        return drawn.repeat(side // positions, axis=1).repeat(side // positions, axis=2)

    sizes = {"picture": 1, "patch": max(1, side // _PATCH), "position": side}
    parts = [np.sqrt(share) * noise(sizes[name]) for name, share in _SHARES.items()]
    return np.sum(parts, axis=0).astype(np.float32)


def _downscaled(networks: Networks, latents: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the decoder draws, a pixel for each position of the latent, in −1 to 1."""
    count, height, width, _ = latents.shape
    pictures = [networks.decoder(tf.constant(one[np.newaxis])).numpy() for one in latents]
    scale = pictures[0].shape[1] // height
    clipped = np.clip(np.concatenate(pictures), -1, 1).astype(np.float64)
    return clipped.reshape(count, height, scale, width, scale, 3).mean(axis=(2, 4))


def _solved(
    inputs: Sequence[NDArray[np.float32]], pixels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The least-squares map from the inputs [N, h, w, ·] and 1 to the pixels."""
    ones = np.ones((*pixels.shape[:3], 1))
    columns = np.concatenate([*inputs, ones], axis=3).astype(np.float64)
    rows = columns.reshape(-1, columns.shape[3])
    solution, *_ = np.linalg.lstsq(rows, pixels.reshape(-1, 3), rcond=None)
    return np.round(solution * _FRACTION) / _FRACTION
