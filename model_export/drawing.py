"""How one picture is drawn: encode its texts, run its steps, decode the latent.

Each part is a function in the graph, so that the signatures share it and the networks are in the
file only once.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from model_export import samplers
from model_export.denoising import Step, Texts, denoiser
from model_export.guidance_embedding import embedded
from model_export.networks import Networks
from model_export.spec import MAX_PROMPT_TOKENS, ModelSpec

_EMBEDDING_MAX_PERIOD = 10000
_NUMBER: Any = tf.TensorSpec([], tf.int32)


class Drawing(NamedTuple):
    """A picture between two steps: what the loop carries from one to the next.

    step: how many are done, int32 []. latent: float32 [1, h, w, 4]. clean: the clean latent that
    the last step predicted, of the same shape; zeros before the first. seed: int64 [], where the
    sampler adds noise between steps; elsewhere there is none. cache: the profile's.
    """

    step: tf.Tensor
    latent: tf.Tensor
    clean: tf.Tensor
    seed: tuple[tf.Tensor, ...]
    cache: tuple[tf.Tensor, ...]


class RowFunctions:
    """The parts of a picture. Rows of a batch run one after another, each through these."""

    def __init__(self, spec: ModelSpec, networks: Networks) -> None:
        self._spec = spec
        self._networks = networks
        table = samplers.table(spec.sampler, spec.max_steps, spec.prediction_type)
        self._table = tf.constant(table[..., : samplers.NOISE_COLUMN])
        noise_levels = table[..., samplers.NOISE_COLUMN]
        self._noise_levels: Any = tf.constant(noise_levels) if noise_levels.any() else None
        self._frequencies = _embedding_frequencies(networks.timestep_embedding_width)
        self._texts = Texts.of(spec, networks)
        self._denoiser = denoiser(spec, networks, self._texts)
        self.latent_shape = (1, *networks.latent_shape)
        latent: Any = tf.TensorSpec(self.latent_shape, tf.float32)
        cache: Any = self._denoiser.cache
        tokens = tf.TensorSpec([MAX_PROMPT_TOKENS], tf.int32)
        seed: Any = () if self._noise_levels is None else (tf.TensorSpec([], tf.int64),)
        self.drawing_spec = Drawing(_NUMBER, latent, latent, seed, cache)
        guidance_scale: Any = tf.TensorSpec([], tf.float32)
        counted = (_NUMBER,) if self._texts is Texts.PAIR_IF_GUIDED else ()
        self._encoded = _shared(self._encode, tokens, tokens, *counted)
        self.context_spec = tf.TensorSpec(
            self._encoded.get_concrete_function().structured_outputs.shape, tf.float32
        )
        """float32 [N, 77, C], for the N texts."""
        self.advance = _shared(
            self._advance,
            self.context_spec,
            *(_NUMBER, guidance_scale, _NUMBER),
            self.drawing_spec,
        )
        self.decode = _shared(self._decode, latent)

    def draw(
        self,
        tokens: tf.Tensor,
        negative_tokens: tf.Tensor,
        num_steps: tf.Tensor,
        guidance_scale: tf.Tensor,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        """The whole picture: uint8 [H, W, 3]."""
        context = self.encode(tokens, negative_tokens, guidance_scale)
        start = self.start(seed)
        drawn = self.advance(context, num_steps, guidance_scale, num_steps, start)
        return self.decode(drawn.latent)

    def encode(
        self, tokens: tf.Tensor, negative_tokens: tf.Tensor, guidance_scale: tf.Tensor
    ) -> tf.Tensor:
        """The context of the texts that a picture with this guidance follows."""
        count = self.text_count(guidance_scale)
        counted = () if isinstance(count, int) else (count,)
        return self._encoded(tokens, negative_tokens, *counted)

    def text_count(self, guidance_scale: tf.Tensor) -> tf.Tensor | int:
        """How many texts that are."""
        return self._texts.count(guidance_scale)

    def start(self, seed: tf.Tensor) -> Drawing:
        """Before the first step."""
        latent = initial_noise(seed, self._networks.latent_shape)[tf.newaxis]
        level = samplers.initial_noise_level(self._spec.sampler)
        if level != 1.0:
            latent = level * latent
        kept = () if self._noise_levels is None else (seed,)
        cache = tuple(tf.zeros([0, *one.shape[1:]], one.dtype) for one in self._denoiser.cache)
        return Drawing(tf.constant(0), latent, tf.zeros(self.latent_shape), kept, cache)

    def without_idle_cache(self, drawing: Drawing, num_steps: tf.Tensor) -> Drawing:
        """The same, with an empty cache where the next step does not read it."""
        is_read = self._denoiser.reads_cache(drawing.step, num_steps)
        cache = tuple(one[: tf.where(is_read, tf.shape(one)[0], 0)] for one in drawing.cache)
        return drawing._replace(cache=cache)

    def _encode(self, tokens: tf.Tensor, negative_tokens: tf.Tensor, *count: Any) -> tf.Tensor:
        texts = self._texts.rows(self._spec, tokens, negative_tokens, *count)
        return self._networks.text_encoder(texts)

    def _decode(self, latent: tf.Tensor) -> tf.Tensor:
        size = self._spec.image_size
        return tf.ensure_shape(to_pixels(self._networks.decoder(latent)[0]), [size, size, 3])

    def _advance(
        self,
        context: tf.Tensor,
        num_steps: tf.Tensor,
        guidance_scale: tf.Tensor,
        until: tf.Tensor,
        drawing: Drawing,
    ) -> Drawing:
        """Runs the steps of a run of num_steps, up to the step `until`."""
        # Without a step to run, what the steps would share is not computed either.
        return tf.cond(
            drawing.step < until,
            lambda: self._loop(context, num_steps, guidance_scale, until, drawing),
            lambda: drawing,
        )

    def _loop(
        self,
        context: tf.Tensor,
        num_steps: tf.Tensor,
        guidance_scale: tf.Tensor,
        until: tf.Tensor,
        drawing: Drawing,
    ) -> Drawing:
        conditioning = self._networks.condition(context)
        projection = self._networks.guidance_embedding
        guidance = None if projection is None else embedded(guidance_scale, projection)

        def step(before: Drawing) -> tuple[Drawing]:
            i, latent = before.step, before.latent
            row = tf.gather_nd(self._table, tf.stack([num_steps, i]))
            timestep, p, q, a, b, c = tf.unstack(row)
            embedding = self._timestep_embedding(timestep)
            if guidance is not None:
                embedding += guidance
            state = Step(i, num_steps, latent, embedding, conditioning, guidance_scale)
            eps, eps_ahead, cache = self._denoiser.predict(state, before.cache)
            clean = p * latent - q * eps
            following = a * latent + b * clean + c * before.clean
            for seed in before.seed:
                level = tf.gather_nd(self._noise_levels, tf.stack([num_steps, i]))
                following += level * noise_of_step(i, seed, self._networks.latent_shape)
            if eps_ahead is not eps:
                clean = p * latent - q * eps_ahead
            if self._spec.trace:
                with tf.control_dependencies([_print_step(i, num_steps, timestep, following)]):
                    following = tf.identity(following)
            following = tf.ensure_shape(following, self.latent_shape)
            return (Drawing(i + 1, following, clean, before.seed, cache),)

        shapes = tf.nest.map_structure(lambda one: one.shape, self.drawing_spec)
        (drawn,) = tf.while_loop(
            lambda now: now.step < until,
            step,
            (drawing,),
            shape_invariants=(shapes,),
            parallel_iterations=1,
        )
        return drawn

    def _timestep_embedding(self, timestep: tf.Tensor) -> tf.Tensor:
        angles = timestep * self._frequencies
        return tf.concat([tf.cos(angles), tf.sin(angles)], axis=0)[tf.newaxis]


def _shared(function: Any, *specs: Any) -> Any:
    return tf.function(function, input_signature=specs, autograph=False, jit_compile=False)


def initial_noise(seed: tf.Tensor, latent_shape: tuple[int, int, int]) -> tf.Tensor:
    """The noise keras_cv 0.9 starts from for that seed: float32 of latent_shape."""
    return _noise(seed, tf.zeros_like(seed), latent_shape)


def noise_of_step(i: tf.Tensor, seed: tf.Tensor, latent_shape: tuple[int, int, int]) -> tf.Tensor:
    """What step i of a picture of that seed adds: float32 of latent_shape.

    It depends on nothing else, so a picture in chunks or in a batch gets the same.
    """
    return _noise(seed, tf.cast(i + 1, tf.int64), latent_shape)


def _noise(seed: tf.Tensor, number: tf.Tensor, latent_shape: tuple[int, int, int]) -> tf.Tensor:
    # `philox` is named because "auto" may choose another generator on another device.
    return tf.random.stateless_normal(latent_shape, tf.stack([seed, number]), alg="philox")


def to_pixels(image: tf.Tensor) -> tf.Tensor:
    """float32 in -1..1 → uint8, rounded to the nearest."""
    return tf.cast(tf.clip_by_value(tf.round((image + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def _embedding_frequencies(width: int) -> tf.Tensor:
    """Frequencies of keras_cv's sinusoidal embedding: cosines, then sines, of t·frequency."""
    half = width // 2
    exponents = -math.log(_EMBEDDING_MAX_PERIOD) * np.arange(half) / half
    return tf.constant(np.exp(exponents), tf.float32)


def _print_step(i: tf.Tensor, num_steps: tf.Tensor, timestep: tf.Tensor, latent: tf.Tensor) -> Any:
    """Prints the loop's step and the latent's statistics to the server's standard error."""
    mean, variance = tf.nn.moments(latent, axes=list(range(len(latent.shape))))
    return tf.print(
        *("trace: step", i + 1, "of", num_steps, "timestep", timestep),
        *("latent mean", mean, "std", tf.sqrt(variance)),
        *("min", tf.reduce_min(latent), "max", tf.reduce_max(latent)),
        output_stream=sys.stderr,
    )
