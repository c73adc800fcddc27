"""Trains the demo model's autoencoder, and computes the latents that the U-Net is trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_export.demo import architecture, clip_tokens, noise_schedule, scenes
from model_export.demo.stage import (
    TOWERS,
    Recipe,
    Report,
    Stage,
    mean_gradients,
    read_average,
)

AUTOENCODER_SEED = 1
LATENTS_SEED = 3
DECODER_SEED = 6


def train_autoencoder(folder: Path, recipe: Recipe, report: Report) -> None:
    """Train encoder and decoder on scenes and clutter, with noise on the latents.

    The latents are normalized over the batch, so they have unit variance by construction. The noise
    teaches the decoder to draw clean edges from slightly wrong latents.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(AUTOENCODER_SEED)
    encoder = architecture.encoder()
    decoder = architecture.build(clip_tokens.vocabulary()).decoder
    variables = encoder.trainable_variables + decoder.trainable_variables
    stage = Stage(folder / "autoencoder.npz", "autoencoder", variables, recipe.autoencoder_steps)

    def half_step(pictures: Any, noise: Any) -> tuple[Any, Any, Any]:
        weight = _edge_weight(pictures)
        with tf.GradientTape() as tape:
            latents = encoder(pictures, training=True)
            mean, variance = tf.nn.moments(latents, [0, 1, 2])
            latents = (latents - mean) / tf.sqrt(variance + 1e-5)
            drawn = decoder(noise_schedule.LATENT_SCALE * (latents + noise), training=True)
            loss, error = _difference(drawn, pictures, weight)
        return tape.gradient(loss, variables), loss, error

    step = _step(stage, half_step, recipe)
    stage.run(_clutter(recipe, AUTOENCODER_SEED), step, recipe.autoencoder_peak_rate, report)


def polish_decoder(folder: Path, recipe: Recipe, report: Report) -> None:
    """Train the decoder alone on the final latents, for crisper edges.

    Faint edges get more weight: on grey they are half as strong as on black or white.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(DECODER_SEED)
    encoder = architecture.encoder()
    decoder = architecture.build(clip_tokens.vocabulary()).decoder
    read_average(
        folder / "autoencoder.npz", encoder.trainable_variables + decoder.trainable_variables
    )
    with np.load(folder / "latents.npz") as stored:
        mean, deviation = tf.constant(stored["mean"]), tf.constant(stored["deviation"])
    variables = decoder.trainable_variables
    stage = Stage(folder / "decoder.npz", "decoder", variables, recipe.decoder_steps)

    def half_step(pictures: Any, noise: Any) -> tuple[Any, Any, Any]:
        weight = _edge_weight(pictures, by_contrast=True)
        latents = (encoder(pictures, training=False) - mean) / deviation
        with tf.GradientTape() as tape:
            drawn = decoder(noise_schedule.LATENT_SCALE * (latents + noise), training=True)
            loss, error = _difference(drawn, pictures, weight)
        return tape.gradient(loss, variables), loss, error

    step = _step(stage, half_step, recipe)
    stage.run(_clutter(recipe, DECODER_SEED), step, recipe.decoder_peak_rate, report)


def encode_pictures(folder: Path, recipe: Recipe, report: Report) -> None:
    """Draw the training scenes once and store their latents (scaled, float16)."""
    import tensorflow as tf

    target = folder / "latents.npz"
    if target.exists():
        return
    encoder = architecture.encoder()
    decoder = architecture.build(clip_tokens.vocabulary()).decoder
    variables = encoder.trainable_variables + decoder.trainable_variables
    read_average(folder / "autoencoder.npz", variables)
    encode = tf.function(lambda pictures: encoder(pictures, training=False))
    latents = np.empty((recipe.pictures, *architecture.LATENT_SHAPE), np.float32)
    batch = 250
    for start in range(0, recipe.pictures, batch):
        drawn = scenes.render(training_scenes(start, batch), np.random.default_rng([start]))
        latents[start : start + batch] = encode(drawn / np.float32(127.5) - np.float32(1)).numpy()
        if start % 5000 == 0:
            report(f"latents  {start} of {recipe.pictures}")
    mean, deviation = latents.mean((0, 1, 2)), latents.std((0, 1, 2))
    scaled = noise_schedule.LATENT_SCALE * (latents - mean) / deviation
    temporary = target.with_suffix(".tmp.npz")
    np.savez(temporary, latents=scaled.astype(np.float16), mean=mean, deviation=deviation)
    temporary.replace(target)


def training_scenes(start: int, count: int) -> list[scenes.Scene]:
    """The scenes of the stored latents, a pure function of their index."""
    rng = np.random.default_rng([LATENTS_SEED, start])
    return [scenes.sample_scene(rng) for _ in range(count)]


def _clutter(recipe: Recipe, seed: int) -> Callable[[int], tuple[NDArray[np.float32]]]:
    """Maps a step's number to its pictures in -1..1, alternating scenes and clutter."""

    def batch(index: int) -> tuple[NDArray[np.float32]]:
        rng = np.random.default_rng([seed, index])
        half = recipe.autoencoder_batch // 2
        wanted = [scenes.sample_scene(rng) for _ in range(recipe.autoencoder_batch - half)]
        pictures = [scenes.render(wanted, rng), scenes.render_clutter(half, rng)]
        together = np.stack(pictures, 1).reshape(-1, *pictures[0].shape[1:])
        return (together / np.float32(127.5) - np.float32(1),)

    return batch


def _step(
    stage: Stage, half_step: Callable[[Any, Any], tuple[Any, Any, Any]], recipe: Recipe
) -> Any:
    """A training step over pictures and noise, in two halves; noise strength varies by row."""
    import tensorflow as tf

    @tf.function
    def step(index: Any, pictures: Any) -> Any:
        shape = (recipe.autoencoder_batch, *architecture.LATENT_SHAPE)
        noise = tf.random.stateless_normal(shape, tf.stack([AUTOENCODER_SEED, index]))
        seed = tf.stack([AUTOENCODER_SEED + 1, index])
        noise *= recipe.autoencoder_noise * tf.random.stateless_uniform((shape[0], 1, 1, 1), seed)
        split = [tf.split(v, TOWERS) for v in (pictures, noise)]
        halves = [half_step(*half) for half in zip(*split, strict=True)]
        stage.apply(mean_gradients([gradients for gradients, _, _ in halves]), average=0.995)
        return {
            "loss": tf.add_n([loss for _, loss, _ in halves]) / TOWERS,
            "error": tf.add_n([error for _, _, error in halves]) / TOWERS,
        }

    return step


def _difference(drawn: Any, pictures: Any, weight: Any) -> tuple[Any, Any]:
    """(weighted loss, mean absolute error in 0..255)."""
    import tensorflow as tf

    error = drawn - pictures
    loss = tf.reduce_mean(weight * tf.abs(error)) + 2 * tf.reduce_mean(weight * tf.square(error))
    return loss, 127.5 * tf.reduce_mean(tf.abs(error))


def _edge_weight(pictures: Any, *, by_contrast: bool = False) -> Any:
    """Weights of mean 1 that give edges and their surroundings seven times the weight.

    With `by_contrast`, the strongest edges get seven times the weight, and fainter ones more.
    """
    import tensorflow as tf

    across = tf.abs(pictures[:, 1:, :-1] - pictures[:, :-1, :-1])
    down = tf.abs(pictures[:, :-1, 1:] - pictures[:, :-1, :-1])
    edges = tf.reduce_max(across + down, axis=-1, keepdims=True)
    edges = tf.pad(tf.cast(edges > 0.05, tf.float32), [[0, 0], [0, 1], [0, 1], [0, 0]])
    weight = 6 * tf.nn.max_pool2d(edges, 5, 1, "SAME")
    if by_contrast:
        span = tf.nn.max_pool2d(pictures, 5, 1, "SAME") + tf.nn.max_pool2d(-pictures, 5, 1, "SAME")
        weight *= 2 / tf.maximum(tf.reduce_max(span, axis=-1, keepdims=True), 0.4)
    weight += 1
    return weight / tf.reduce_mean(weight)
