"""Trains the demo model: autoencoder, decoder, text encoder, U-Net, one after another.

Checkpoints are in their own folder; the finished weights replace the ones in the repository.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_export.demo import architecture, clip_tokens, networks, noise_schedule, scenes
from model_export.demo.autoencoder import (
    encode_pictures,
    polish_decoder,
    train_autoencoder,
    training_scenes,
)
from model_export.demo.stage import (
    TOWERS,
    Recipe,
    Report,
    Stage,
    mean_gradients,
    read_average,
)

UNET_SEED = 2
TEXT_SEED = 4


def train(
    folder: Path, recipe: Recipe, report: Report, target: Path = networks.WEIGHTS_PATH
) -> None:
    """Run the rest of the training and write the finished weights. It can be stopped at any time.

    Checkpoints go into `folder`. The vocabulary is written next to the weights.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # a third faster where it is off by default
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(TOWERS)
    folder.mkdir(parents=True, exist_ok=True)
    train_autoencoder(folder, recipe, report)
    encode_pictures(folder, recipe, report)
    polish_decoder(folder, recipe, report)
    train_text_encoder(folder, recipe, report)
    train_unet(folder, recipe, report)
    finish(folder, target)
    report(f"wrote {target.name}: {target.stat().st_size / 1e6:.1f} MB")


def train_text_encoder(folder: Path, recipe: Recipe, report: Report) -> None:
    """Train the text encoder alone to predict the caption's layout from its last tokens.

    Stable Diffusion's text encoder is pretrained too (by CLIP, on pictures and their captions).
    Training it together with the U-Net takes several times as many steps. Nine tokens describe one
    cell of the picture each, so that two shapes are not mixed; the last describes everything.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(TEXT_SEED)
    encoder = architecture.build(clip_tokens.vocabulary()).text_encoder
    cells = len(scenes.CELLS)
    # A cell's colour and its shape, each with one more class for "nothing here".
    choices = [1 + len(scenes.COLOURS), 1 + len(scenes.SHAPES)]
    cell_head = keras.layers.Dense(sum(choices))
    parts = [cells * n for n in choices] + [len(scenes.BACKGROUNDS), len(scenes.SIZES)]
    head = keras.layers.Dense(sum(parts))
    for layer in (cell_head, head):
        layer.build((None, architecture.TEXT_WIDTH))
    models = (encoder, cell_head, head)
    variables = [v for model in models for v in model.trainable_variables]
    stage = Stage(folder / "text.npz", "text", variables, recipe.text_steps)
    positions = tf.tile(tf.range(77)[None], [recipe.text_batch // TOWERS, 1])

    def half_step(tokens: Any, colour: Any, shape: Any, background: Any, size: Any) -> Any:
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits
        with tf.GradientTape() as tape:
            context = encoder([tokens, positions], training=True)
            colours, shapes = tf.split(
                cell_head(context[:, architecture.CELL_TOKENS]), choices, axis=-1
            )
            one_by_one = tf.reduce_sum(entropy(colour, colours) + entropy(shape, shapes), -1)
            colours, shapes, behind, large = tf.split(head(context[:, -1]), parts, axis=-1)
            colours = tf.reshape(colours, [-1, cells, choices[0]])
            shapes = tf.reshape(shapes, [-1, cells, choices[1]])
            together = tf.reduce_sum(entropy(colour, colours) + entropy(shape, shapes), -1)
            rest = entropy(background, behind) + entropy(size, large)
            loss = tf.reduce_mean(one_by_one + together + rest)
        figures = [tf.reduce_mean(v) for v in (one_by_one, together, rest)]
        return tape.gradient(loss, variables), figures

    @tf.function
    def step(_index: Any, *batch: Any) -> Any:
        split = [tf.split(v, TOWERS) for v in batch]
        halves = [half_step(*half) for half in zip(*split, strict=True)]
        stage.apply(mean_gradients([gradients for gradients, _ in halves]), average=0.99)
        names = ("cells", "all cells", "background and size")
        means = [tf.add_n(list(v)) / TOWERS for v in zip(*(f for _, f in halves), strict=True)]
        return dict(zip(names, means, strict=True))

    def batch(index: int) -> list[NDArray[np.int32]]:
        rng = np.random.default_rng([TEXT_SEED, index])
        drawn = [scenes.sample_scene(rng) for _ in range(recipe.text_batch)]
        colour = np.zeros((recipe.text_batch, cells), np.int32)
        shape = np.zeros((recipe.text_batch, cells), np.int32)
        for i, scene in enumerate(drawn):
            for s in scene.shapes:
                colour[i, s.cell], shape[i, s.cell] = 1 + s.colour, 1 + s.shape
        share = recipe.empty_captions
        tokens = [clip_tokens.training_tokens(s, rng, empty_share=share) for s in drawn]
        background = np.array([s.background for s in drawn], np.int32)
        size = np.array([s.shapes[0].size for s in drawn], np.int32)
        return [np.stack(tokens), colour, shape, background, size]

    stage.run(batch, step, recipe.text_peak_rate, report)


def train_unet(folder: Path, recipe: Recipe, report: Report) -> None:
    """Train the U-Net on stored latents: velocity loss, guidance dropout, text encoder fixed."""
    import keras
    import tensorflow as tf

    with np.load(folder / "latents.npz") as stored:
        latents = stored["latents"].astype(np.float32)
    drawn = [s for start in range(0, len(latents), 250) for s in training_scenes(start, 250)]
    at_shapes = np.stack([scenes.surroundings(s, architecture.LATENT_SHAPE[0]) for s in drawn])
    vocabulary = clip_tokens.vocabulary()
    keras.utils.set_random_seed(UNET_SEED)
    models = architecture.build(vocabulary)
    read_average(folder / "text.npz", models.text_encoder.trainable_variables)
    variables = models.velocity.trainable_variables
    stage = Stage(folder / "unet.npz", "unet", variables, recipe.unet_steps)

    s = noise_schedule.LATENT_SCALE
    cumulative = noise_schedule.alphas_cumprod()
    signal, noise_level = np.sqrt(cumulative), np.sqrt(1 - cumulative)
    norm = np.sqrt(cumulative * s * s + 1 - cumulative)
    levels = tf.constant(
        np.stack([signal, noise_level, signal * s / norm, noise_level / norm], 1), tf.float32
    )
    embeddings = tf.constant(
        noise_schedule.timestep_embedding(np.arange(noise_schedule.TRAINED_TIMESTEPS))
    )
    positions = tf.tile(tf.range(77)[None], [recipe.unet_batch // TOWERS, 1])

    def half_step(x0: Any, near: Any, tokens: Any, timesteps: Any, eps: Any) -> tuple[Any, Any]:
        level = tf.gather(levels, timesteps)[:, None, None, :]
        a, b, a_unit, b_unit = tf.split(level, 4, axis=-1)
        noisy = a * x0 + b * eps
        target = a_unit * eps - b_unit * x0 / s
        embedding = tf.gather(embeddings, timesteps)
        context = models.text_encoder([tokens, positions], training=False)
        with tf.GradientTape() as tape:
            predicted = models.velocity([noisy, embedding, context], training=True)
            errors = tf.reduce_mean(tf.square(predicted - target), -1)
            # Most of a picture is flat, and its shapes matter most. They get more weight only where
            # the signal is strong: while a shape may still be anywhere, the weight would make the
            # model expect it in too many positions.
            weight = 1 + recipe.shape_weight * tf.square(tf.squeeze(a, -1)) * near
            loss = tf.reduce_mean(weight * errors)
        return tape.gradient(loss, variables), errors

    @tf.function
    def step(index: Any, x0: Any, near: Any, tokens: Any, timesteps: Any) -> Any:
        eps = tf.random.stateless_normal(tf.shape(x0), tf.stack([UNET_SEED, index]))
        split = [tf.split(v, TOWERS) for v in (x0, near, tokens, timesteps, eps)]
        halves = [half_step(*half) for half in zip(*split, strict=True)]
        stage.apply(mean_gradients([gradients for gradients, _ in halves]), average=0.9985)
        errors = tf.concat([errors for _, errors in halves], 0)
        clear, noisy = timesteps < 250, timesteps >= 750
        return {
            "loss": tf.reduce_mean(errors),
            "at shapes": tf.reduce_sum(errors * near) / tf.reduce_sum(near),
            "t<250": tf.reduce_mean(errors[clear]),
            "t>=750": tf.reduce_mean(errors[noisy]),
        }

    def batch(index: int) -> tuple[NDArray[Any], ...]:
        rng = np.random.default_rng([UNET_SEED, index])
        n = recipe.unet_batch
        chosen = rng.integers(0, len(latents), n)
        tokens = np.stack(
            [
                clip_tokens.training_tokens(
                    drawn[i],
                    rng,
                    empty_share=recipe.empty_captions,
                    complete_share=recipe.complete_captions,
                )
                for i in chosen
            ]
        )
        spread = (rng.permutation(n) + rng.random(n)) / n
        timesteps = np.minimum(spread * 1000, 999).astype(np.int32)
        return latents[chosen], at_shapes[chosen].astype(np.float32), tokens, timesteps

    stage.run(batch, step, recipe.unet_peak_rate, report)


def finish(folder: Path, target: Path) -> None:
    """Write the checkpoints' averaged weights, finished or not, to a weights file."""
    models = architecture.build(clip_tokens.vocabulary())
    read_average(folder / "text.npz", models.text_encoder.trainable_variables)
    read_average(folder / "unet.npz", models.velocity.trainable_variables)
    read_average(folder / "decoder.npz", models.decoder.trainable_variables)
    networks.write_weights(models, target)
    networks.write_vocabulary(
        clip_tokens.vocabulary(), target.with_name(networks.VOCABULARY_PATH.name)
    )
