"""Training of the demo model: the autoencoder, then the U-Net together with the text encoder.

Everything is a function of the step number: batches come from a generator seeded with it, the
schedules count steps and not seconds. So a stopped training resumes where it was, and a second one
sees the same data. Checkpoints lie in a folder of their own; the finished weights replace the ones
in the repository.
"""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_export.demo import captions, networks, scenes

Report = Callable[[str], None]

AUTOENCODER_SEED = 1
UNET_SEED = 2
LATENTS_SEED = 3
TEXT_SEED = 4
CHECKPOINT_SECONDS = 180.0
TOWERS = 2
"""Parts of a batch that are computed side by side, one thread each. The operations are too small to
share one between threads: two threads an operation are slower than one."""


@dataclass(frozen=True)
class Recipe:
    """How long and how to train. docs/demo-model.md says how the stored weights came about."""

    autoencoder_steps: int = 2500
    autoencoder_batch: int = 16
    autoencoder_peak_rate: float = 1.5e-3
    autoencoder_noise: float = 0.1
    pictures: int = 40_000
    text_steps: int = 1500
    text_batch: int = 96
    text_peak_rate: float = 1e-3
    unet_steps: int = 9000
    unet_batch: int = 32
    unet_peak_rate: float = 1e-3
    timestep_bias: float = 0.8
    empty_captions: float = 0.10


def train(folder: Path, recipe: Recipe, report: Report) -> None:
    """Run what is left of the training and write the finished weights. Stop it at any time."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # a third faster where it is off by default
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(TOWERS)
    folder.mkdir(parents=True, exist_ok=True)
    train_autoencoder(folder, recipe, report)
    encode_pictures(folder, recipe, report)
    train_text_encoder(folder, recipe, report)
    train_unet(folder, recipe, report)
    finish(folder, networks.WEIGHTS_PATH)
    report(
        f"wrote {networks.WEIGHTS_PATH.name}: {networks.WEIGHTS_PATH.stat().st_size / 1e6:.1f} MB"
    )


def train_autoencoder(folder: Path, recipe: Recipe, report: Report) -> None:
    """Encoder and decoder on scenes and clutter, with noise on the latents.

    The latents are normalised over the batch, so they have unit variance by construction; the
    noise teaches the decoder to draw clean edges from latents that are a little off.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(AUTOENCODER_SEED)
    encoder = networks.encoder()
    decoder = networks.build(captions.vocabulary()).decoder
    variables = encoder.trainable_variables + decoder.trainable_variables
    run = _Run(folder / "autoencoder.npz", "autoencoder", variables, recipe.autoencoder_steps)
    scale = networks.LATENT_SCALE

    @tf.function
    def step(pictures: Any, index: Any) -> Any:
        weight = _edge_weight(pictures)
        with tf.GradientTape() as tape:
            latents = encoder(pictures, training=True)
            mean, variance = tf.nn.moments(latents, [0, 1, 2])
            latents = (latents - mean) / tf.sqrt(variance + 1e-5)
            noise = tf.random.stateless_normal(
                tf.shape(latents), tf.stack([AUTOENCODER_SEED, index])
            )
            drawn = decoder(scale * (latents + recipe.autoencoder_noise * noise), training=True)
            error = drawn - pictures
            loss = tf.reduce_mean(weight * tf.abs(error)) + 2 * tf.reduce_mean(
                weight * tf.square(error)
            )
        run.apply(tape.gradient(loss, variables), average=0.995)
        return {"loss": loss, "error": 127.5 * tf.reduce_mean(tf.abs(error))}

    def batch(index: int) -> NDArray[np.float32]:
        rng = np.random.default_rng([AUTOENCODER_SEED, index])
        half = recipe.autoencoder_batch // 2
        wanted = [scenes.sample_scene(rng) for _ in range(recipe.autoencoder_batch - half)]
        pictures = [scenes.render(wanted, rng), scenes.render_clutter(half, rng)]
        return np.concatenate(pictures) / np.float32(127.5) - np.float32(1)

    for index, pictures in _batches(batch, run.step, recipe.autoencoder_steps):
        run.set_rate(recipe.autoencoder_peak_rate)
        run.done(step(pictures, tf.constant(index)), report)
    run.finish()


def encode_pictures(folder: Path, recipe: Recipe, report: Report) -> None:
    """Draw the training scenes once and keep their latents (scaled, float16) beside them."""
    import tensorflow as tf

    target = folder / "latents.npz"
    if target.exists():
        return
    encoder = networks.encoder()
    decoder = networks.build(captions.vocabulary()).decoder
    variables = encoder.trainable_variables + decoder.trainable_variables
    _Run(folder / "autoencoder.npz", "autoencoder", variables, 1).use_average()
    encode = tf.function(lambda pictures: encoder(pictures, training=False))
    latents = np.empty((recipe.pictures, *networks.LATENT_SHAPE), np.float32)
    batch = 250
    for start in range(0, recipe.pictures, batch):
        drawn = scenes.render(training_scenes(start, batch), np.random.default_rng([start]))
        latents[start : start + batch] = encode(drawn / np.float32(127.5) - np.float32(1)).numpy()
        if start % 5000 == 0:
            report(f"latents  {start} of {recipe.pictures}")
    mean, deviation = latents.mean((0, 1, 2)), latents.std((0, 1, 2))
    scaled = networks.LATENT_SCALE * (latents - mean) / deviation
    temporary = target.with_suffix(".tmp.npz")
    np.savez(temporary, latents=scaled.astype(np.float16), mean=mean, deviation=deviation)
    temporary.replace(target)


def training_scenes(start: int, count: int) -> list[scenes.Scene]:
    """The scenes behind the stored latents, a pure function of their index."""
    rng = np.random.default_rng([LATENTS_SEED, start])
    return [scenes.sample_scene(rng) for _ in range(count)]


def train_text_encoder(folder: Path, recipe: Recipe, report: Report) -> None:
    """The text encoder alone: from its last token, tell what the caption says is where.

    Stable Diffusion's text encoder comes trained too (by CLIP, on pictures and their captions).
    Learning to read and to draw at the same time takes the U-Net several times as many steps.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(TEXT_SEED)
    encoder = networks.build(captions.vocabulary()).text_encoder
    cells, kinds = len(scenes.CELLS), 1 + len(scenes.COLOURS) * len(scenes.SHAPES)
    head = keras.layers.Dense(cells * kinds + len(scenes.BACKGROUNDS) + len(scenes.SIZES))
    head.build((None, networks.TEXT_WIDTH))
    variables = encoder.trainable_variables + head.trainable_variables
    run = _Run(folder / "text.npz", "text", variables, recipe.text_steps)
    positions = tf.tile(tf.range(77)[None], [recipe.text_batch // TOWERS, 1])
    parts = [cells * kinds, len(scenes.BACKGROUNDS), len(scenes.SIZES)]

    def half_step(tokens: Any, cell: Any, background: Any, size: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            summary = encoder([tokens, positions], training=True)[:, -1]
            where, behind, large = tf.split(head(summary), parts, axis=-1)
            where = tf.reshape(where, [-1, cells, kinds])
            entropy = tf.nn.sparse_softmax_cross_entropy_with_logits
            losses = [
                tf.reduce_sum(entropy(cell, where), -1),
                entropy(background, behind),
                entropy(size, large),
            ]
            loss = tf.reduce_mean(tf.add_n(losses))
        return tape.gradient(loss, variables), loss

    @tf.function
    def step(*batch: Any) -> Any:
        split = [tf.split(v, TOWERS) for v in batch]
        halves = [half_step(*half) for half in zip(*split, strict=True)]
        run.apply(_mean_gradients([gradients for gradients, _ in halves]), average=0.99)
        return {"loss": tf.add_n([loss for _, loss in halves]) / TOWERS}

    def batch(index: int) -> list[NDArray[np.int32]]:
        rng = np.random.default_rng([TEXT_SEED, index])
        drawn = [scenes.sample_scene(rng) for _ in range(recipe.text_batch)]
        cell = np.zeros((recipe.text_batch, cells), np.int32)
        for i, scene in enumerate(drawn):
            for s in scene.shapes:
                cell[i, s.cell] = 1 + s.colour * len(scenes.SHAPES) + s.shape
        tokens = [captions.training_tokens(s, rng, recipe.empty_captions) for s in drawn]
        background = np.array([s.background for s in drawn], np.int32)
        size = np.array([s.shapes[0].size for s in drawn], np.int32)
        return [np.stack(tokens), cell, background, size]

    for _, made in _batches(batch, run.step, recipe.text_steps):
        run.set_rate(recipe.text_peak_rate)
        run.done(step(*made), report)
    run.finish()


def train_unet(folder: Path, recipe: Recipe, report: Report) -> None:
    """U-Net and text encoder on the stored latents, velocity loss, guidance dropout."""
    import keras
    import tensorflow as tf

    with np.load(folder / "latents.npz") as stored:
        latents = stored["latents"].astype(np.float32)
    drawn = [s for start in range(0, len(latents), 250) for s in training_scenes(start, 250)]
    vocabulary = captions.vocabulary()
    keras.utils.set_random_seed(UNET_SEED)
    models = networks.build(vocabulary)
    text = models.text_encoder.trainable_variables
    variables = text + models.velocity.trainable_variables
    with np.load(folder / "text.npz") as stored:
        for i, variable in enumerate(text):
            variable.assign(stored[f"m{i}"])
    run = _Run(folder / "unet.npz", "unet", variables, recipe.unet_steps)

    s = networks.LATENT_SCALE
    cumulative = networks.alphas_cumprod()
    signal, noise_level = np.sqrt(cumulative), np.sqrt(1 - cumulative)
    norm = np.sqrt(cumulative * s * s + 1 - cumulative)
    levels = tf.constant(
        np.stack([signal, noise_level, signal * s / norm, noise_level / norm], 1), tf.float32
    )
    embeddings = tf.constant(networks.timestep_embedding(np.arange(networks.TRAINED_TIMESTEPS)))
    positions = tf.tile(tf.range(77)[None], [recipe.unet_batch // TOWERS, 1])

    def half_step(x0: Any, tokens: Any, timesteps: Any, eps: Any) -> tuple[Any, Any]:
        level = tf.gather(levels, timesteps)[:, None, None, :]
        a, b, a_unit, b_unit = tf.split(level, 4, axis=-1)
        noisy = a * x0 + b * eps
        target = a_unit * eps - b_unit * x0 / s
        embedding = tf.gather(embeddings, timesteps)
        with tf.GradientTape() as tape:
            context = models.text_encoder([tokens, positions], training=True)
            predicted = models.velocity([noisy, embedding, context], training=True)
            errors = tf.reduce_mean(tf.square(predicted - target), [1, 2, 3])
            loss = tf.reduce_mean(errors)
        return tape.gradient(loss, variables), errors

    @tf.function
    def step(x0: Any, tokens: Any, timesteps: Any, index: Any) -> Any:
        eps = tf.random.stateless_normal(tf.shape(x0), tf.stack([UNET_SEED, index]))
        split = [tf.split(v, TOWERS) for v in (x0, tokens, timesteps, eps)]
        halves = [half_step(*half) for half in zip(*split, strict=True)]
        run.apply(_mean_gradients([gradients for gradients, _ in halves]), average=0.9985)
        errors = tf.concat([errors for _, errors in halves], 0)
        late = tf.cast(timesteps >= 800, tf.float32)
        high = tf.reduce_sum(late * errors) / tf.maximum(1.0, tf.reduce_sum(late))
        return {"loss": tf.reduce_mean(errors), "loss t>=800": high}

    def batch(index: int) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
        rng = np.random.default_rng([UNET_SEED, index])
        n = recipe.unet_batch
        chosen = rng.integers(0, len(latents), n)
        tokens = np.stack(
            [captions.training_tokens(drawn[i], rng, recipe.empty_captions) for i in chosen]
        )
        spread = (rng.permutation(n) + rng.random(n)) / n
        timesteps = np.minimum(spread**recipe.timestep_bias * 1000, 999).astype(np.int32)
        return latents[chosen], tokens, timesteps

    for index, (x0, tokens, timesteps) in _batches(batch, run.step, recipe.unet_steps):
        run.set_rate(recipe.unet_peak_rate)
        run.done(step(x0, tokens, timesteps, tf.constant(index)), report)
    run.finish()


def finish(folder: Path, target: Path) -> None:
    """Write the averaged weights of the checkpoints, finished or not, as a weights file."""
    models = networks.build(captions.vocabulary())
    both = models.text_encoder.trainable_variables + models.velocity.trainable_variables
    _Run(folder / "unet.npz", "unet", both, 1).use_average()
    encoder = networks.encoder()
    pair = encoder.trainable_variables + models.decoder.trainable_variables
    _Run(folder / "autoencoder.npz", "autoencoder", pair, 1).use_average()
    networks.write_weights(models, target)
    networks.write_vocabulary(captions.vocabulary())


class _Run:
    """One training: optimiser, moving average, checkpoint, progress."""

    def __init__(self, path: Path, name: str, variables: Sequence[Any], total_steps: int) -> None:
        import keras
        import tensorflow as tf

        self.path, self.name, self.total = path, name, total_steps
        self.variables = list(variables)
        self.average = [tf.Variable(v.value) for v in self.variables]
        self.optimizer: Any = keras.optimizers.AdamW(1e-3, beta_2=0.99, weight_decay=0.01)
        self.optimizer.build(self.variables)
        self.step = 0
        self._seen: list[dict[str, float]] = []
        if path.exists():
            self._read()
        self._started, self._first_step = time.monotonic(), self.step
        self._saved = self._started

    def set_rate(self, peak: float, warm_up: float = 0.02, floor: float = 0.01) -> None:
        """Linear warm-up, then a cosine down to `floor` of the peak."""
        done = self.step / self.total
        cosine = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        self.optimizer.learning_rate.assign(peak * min(1.0, (done + 1e-4) / warm_up) * cosine)

    def apply(self, gradients: Any, average: float) -> None:
        """One optimiser step and one step of the moving average (inside a tf.function)."""
        import tensorflow as tf

        clipped, _ = tf.clip_by_global_norm(gradients, 1.0)
        self.optimizer.apply_gradients(zip(clipped, self.variables, strict=True))
        count = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(average, (1 + count) / (10 + count))
        for mean, variable in zip(self.average, self.variables, strict=True):
            mean.assign(decay * mean + (1 - decay) * variable.value)

    def done(self, figures: dict[str, Any], report: Report) -> None:
        """Count a step; report and save now and then."""
        self.step += 1
        self._seen.append({k: float(v) for k, v in figures.items()})
        if self.step % 50 == 0 or self.step == self._first_step + 10:
            spent = time.monotonic() - self._started
            pace = spent / (self.step - self._first_step)
            recent = self._seen[-50:]
            text = "  ".join(
                f"{k} {sum(s[k] for s in recent) / len(recent):.4f}" for k in recent[0]
            )
            left = pace * (self.total - self.step) / 60
            report(
                f"{self.name}  step {self.step} of {self.total}  {text}  "
                f"{pace:.2f} s/step  {left:.0f} min left"
            )
        if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
            self.finish()

    def finish(self) -> None:
        """Write the checkpoint, whole or not at all."""
        arrays = {f"v{i}": v.numpy() for i, v in enumerate(self.variables)}
        arrays |= {f"m{i}": m.numpy() for i, m in enumerate(self.average)}
        arrays |= {f"o{i}": np.asarray(o) for i, o in enumerate(self.optimizer.variables)}
        temporary = self.path.with_suffix(".tmp.npz")
        np.savez(temporary, step=self.step, **arrays)  # pyright: ignore[reportArgumentType]
        temporary.replace(self.path)
        self._saved = time.monotonic()

    def use_average(self) -> None:
        """Put the moving average where the weights are."""
        for variable, mean in zip(self.variables, self.average, strict=True):
            variable.assign(mean)

    def _read(self) -> None:
        with np.load(self.path) as stored:
            self.step = int(stored["step"])
            for i, (variable, mean) in enumerate(zip(self.variables, self.average, strict=True)):
                variable.assign(stored[f"v{i}"])
                mean.assign(stored[f"m{i}"])
            for i, variable in enumerate(self.optimizer.variables):
                variable.assign(stored[f"o{i}"])


def _mean_gradients(towers: Sequence[Sequence[Any]]) -> list[Any]:
    """The gradients of several towers, averaged variable by variable."""
    import tensorflow as tf

    return [
        tf.add_n([tf.convert_to_tensor(g) for g in same]) / len(towers)
        for same in zip(*towers, strict=True)
    ]


def _edge_weight(pictures: Any) -> Any:
    """Weights of mean 1 that count edges and their surroundings seven times as much."""
    import tensorflow as tf

    across = tf.abs(pictures[:, 1:, :-1] - pictures[:, :-1, :-1])
    down = tf.abs(pictures[:, :-1, 1:] - pictures[:, :-1, :-1])
    edges = tf.reduce_max(across + down, axis=-1, keepdims=True)
    edges = tf.pad(tf.cast(edges > 0.05, tf.float32), [[0, 0], [0, 1], [0, 1], [0, 0]])
    weight = 1 + 6 * tf.nn.max_pool2d(edges, 5, 1, "SAME")
    return weight / tf.reduce_mean(weight)


def _batches(make: Callable[[int], Any], first: int, total: int) -> Iterator[tuple[int, Any]]:
    """(step, batch) from `first` on, made one thread ahead."""
    ready: queue.Queue[tuple[int, Any]] = queue.Queue(8)

    def run() -> None:
        for index in range(first, total):
            ready.put((index, make(index)))

    threading.Thread(target=run, daemon=True).start()
    for _ in range(first, total):
        yield ready.get()
