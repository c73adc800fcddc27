"""The exported graph: from a prompt to a PNG file, in one TensorFlow module with four signatures.

Rows of a batch are independent by construction: they run one after another, and each calls the
networks only on its own pair (negative prompt, prompt), so a row's result does not depend on its
neighbours, bit for bit.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import tensorflow as tf

from model_export import samplers
from model_export.denoising import Step, denoiser, pair
from model_export.description import description
from model_export.networks import Networks
from model_export.spec import (
    MAX_GUIDANCE_SCALE,
    MAX_PROMPT_TOKENS,
    SEED_LIMIT,
    ModelSpec,
    reported_fingerprint,
)
from model_export.tokenizer import ClipTokenizer
from model_export.vocabulary import END_OF_TEXT, VOCABULARY_SIZE

_EMBEDDING_MAX_PERIOD = 10000

_PROMPT = tf.TensorSpec([None], tf.string, "prompt")
_NEGATIVE_PROMPT = tf.TensorSpec([None], tf.string, "negative_prompt")
_TOKENS = tf.TensorSpec([None, MAX_PROMPT_TOKENS], tf.int32, "tokens")
_NEGATIVE_TOKENS = tf.TensorSpec([None, MAX_PROMPT_TOKENS], tf.int32, "negative_prompt_tokens")
_NUM_STEPS = tf.TensorSpec([None], tf.int32, "num_steps")
_GUIDANCE_SCALE = tf.TensorSpec([None], tf.float32, "guidance_scale")
_SEED = tf.TensorSpec([None], tf.int64, "seed")
_QUERY = tf.TensorSpec([None], tf.string, "query")


class TextToImage(tf.Module):
    """A model ready to be saved: `signatures()` are its four entry points.

    Inputs out of range are made safe, never refused, since one bad row would fail the whole batch:
    num_steps is clamped to 1..max_steps (and returned), guidance_scale to 0..30 with NaN read as
    the spec's default, token ids outside the vocabulary read as the end token. Any int64 is a seed;
    0 ≤ seed < 2³¹ − 2 gives keras_cv's noise for it. A wrong rank or inner shape, or inputs of
    unequal batch size, fail the request. An empty batch gives an empty result.
    """

    def __init__(self, spec: ModelSpec, networks: Networks, fingerprint: str) -> None:
        super().__init__(name="text_to_image")
        # Variables only: an attached Keras model would be saved with all its traces.
        self.weights = list(networks.variables)
        self._spec = spec
        self._fingerprint = reported_fingerprint(spec, fingerprint)
        self._description = description(spec, self._fingerprint)
        self._tokenizer = ClipTokenizer()
        # Shared by the signatures, so that each function is in the file only once.
        self._tokenize = tf.function(
            self._tokenizer.__call__, input_signature=[_PROMPT], autograph=False
        )
        draw_row = _row_function(spec, networks)

        @tf.function(
            input_signature=[_TOKENS, _NEGATIVE_TOKENS, _NUM_STEPS, _GUIDANCE_SCALE, _SEED],
            autograph=False,
            jit_compile=False,
        )
        def draw(
            tokens: tf.Tensor,
            negative_tokens: tf.Tensor,
            num_steps: tf.Tensor,
            guidance_scale: tf.Tensor,
            seed: tf.Tensor,
        ) -> tf.Tensor:
            return tf.map_fn(
                lambda row: draw_row(*row),
                (tokens, negative_tokens, num_steps, guidance_scale, seed),
                fn_output_signature=tf.TensorSpec([spec.image_size, spec.image_size, 3], tf.uint8),
                parallel_iterations=1,
            )

        self._draw = draw

    def state(self) -> tf.Module:
        """The variables and lookup tables that the signatures read, without the functions.

        Saving the functions too would trace each of them again and store the networks twice.
        """
        return _State(self.weights, self._tokenizer)

    def signatures(self) -> dict[str, Any]:
        """The concrete function of each signature. The first call traces the graph."""
        return {
            name: getattr(self, name).get_concrete_function()
            for name in ("serving_default", "prompt", "tokens", "describe")
        }

    @tf.function(
        input_signature=[_PROMPT, _NEGATIVE_PROMPT, _NUM_STEPS, _GUIDANCE_SCALE, _SEED],
        autograph=False,
    )
    def serving_default(
        self,
        prompt: tf.Tensor,
        negative_prompt: tf.Tensor,
        num_steps: tf.Tensor,
        guidance_scale: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The caller chooses everything; every input and output has only the batch axis."""
        prompt = tf.ensure_shape(prompt, [None])
        rest = _with_batch_size_of(prompt, negative_prompt, num_steps, guidance_scale, seed)
        return self._answer(prompt, *rest)

    @tf.function(input_signature=[_PROMPT], autograph=False)
    def prompt(self, prompt: tf.Tensor) -> dict[str, tf.Tensor]:
        """The spec's defaults, and a seed drawn for each row and returned."""
        prompt = tf.ensure_shape(prompt, [None])
        rows = tf.shape(prompt)
        # The op seeds 0, 0 mean "seed from the system". tf.random.uniform would put a global seed
        # that is set at export into the graph, and every server would draw the same pictures.
        seed = tf.raw_ops.RandomUniformInt(
            shape=rows,
            minval=tf.constant(0, tf.int64),
            maxval=tf.constant(SEED_LIMIT, tf.int64),
            seed=0,
            seed2=0,
        )
        return self._answer(
            prompt,
            tf.fill(rows, self._spec.negative_prompt.encode()),
            tf.fill(rows, self._spec.steps),
            tf.fill(rows, tf.constant(self._spec.guidance_scale, tf.float32)),
            seed,
        )

    @tf.function(
        input_signature=[_TOKENS, _NEGATIVE_TOKENS, _NUM_STEPS, _GUIDANCE_SCALE, _SEED],
        autograph=False,
    )
    def tokens(
        self,
        tokens: tf.Tensor,
        negative_prompt_tokens: tf.Tensor,
        num_steps: tf.Tensor,
        guidance_scale: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """For callers with their own tokenizer: ids in, raw pixels out."""
        tokens = tf.ensure_shape(tokens, [None, MAX_PROMPT_TOKENS])
        negative, *rest = _with_batch_size_of(
            tokens, negative_prompt_tokens, num_steps, guidance_scale, seed
        )
        num_steps, guidance_scale, seed = rest
        return {
            "images": self._draw(
                _known_tokens(tokens),
                _known_tokens(negative),
                self._safe_steps(num_steps),
                self._safe_guidance(guidance_scale),
                seed,
            )
        }

    @tf.function(input_signature=[_QUERY], autograph=False)
    def describe(self, query: tf.Tensor) -> dict[str, tf.Tensor]:
        """What this model is, as JSON; the query is ignored, and only says how many rows to fill.

        A row per input row, because a server's batching requires it.
        """
        query = tf.ensure_shape(query, [None])
        return {"description": tf.fill(tf.shape(query), self._description)}

    def _answer(
        self,
        prompt: tf.Tensor,
        negative_prompt: tf.Tensor,
        num_steps: tf.Tensor,
        guidance_scale: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        positive, negative = self._tokenize(prompt), self._tokenize(negative_prompt)
        num_steps = self._safe_steps(num_steps)
        images = self._draw(
            positive.tokens,
            negative.tokens,
            num_steps,
            self._safe_guidance(guidance_scale),
            seed,
        )
        return {
            "image_bytes": tf.map_fn(
                tf.io.encode_png, images, fn_output_signature=tf.string, parallel_iterations=1
            ),
            "seed": tf.identity(seed),
            "num_steps": num_steps,
            "prompt_tokens": positive.prompt_tokens,
            "truncated": positive.truncated,
            "negative_prompt_tokens": negative.prompt_tokens,
            "negative_prompt_truncated": negative.truncated,
            "fingerprint": tf.fill(tf.shape(prompt), self._fingerprint),
        }

    def _safe_steps(self, num_steps: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(num_steps, 1, self._spec.max_steps)

    def _safe_guidance(self, guidance_scale: tf.Tensor) -> tf.Tensor:
        default = tf.constant(self._spec.guidance_scale, tf.float32)
        number = tf.where(tf.math.is_nan(guidance_scale), default, guidance_scale)
        return tf.clip_by_value(number, 0.0, MAX_GUIDANCE_SCALE)


class _State(tf.Module):
    def __init__(self, weights: list[tf.Variable], tokenizer: ClipTokenizer) -> None:
        super().__init__(name="text_to_image")
        self.weights = weights
        self.tokenizer = tokenizer


def _with_batch_size_of(first: tf.Tensor, *others: tf.Tensor) -> list[tf.Tensor]:
    """The other inputs, checked to have as many rows as the first.

    TF Serving checks dtypes but neither rank nor inner shape, so the graph does.
    """
    checked = []
    rows = tf.shape(first)[0]
    for other in others:
        tensor = tf.ensure_shape(other, other.shape)
        same = tf.debugging.assert_equal(
            tf.shape(tensor)[0], rows, message="inputs must have the same number of rows"
        )
        with tf.control_dependencies([same]):
            checked.append(tf.identity(tensor))
    return checked


def _known_tokens(tokens: tf.Tensor) -> tf.Tensor:
    known = (tokens >= 0) & (tokens < VOCABULARY_SIZE)
    return tf.where(known, tokens, END_OF_TEXT)


def _row_function(spec: ModelSpec, networks: Networks) -> Any:
    """The function that draws one row: uint8 [H, W, 3] from the row's own inputs."""
    table = tf.constant(samplers.table(spec.sampler, spec.max_steps))
    frequencies = _embedding_frequencies(networks.timestep_embedding_width)
    latent_shape = (1, *networks.latent_shape)
    predict, first_cache, cache_shape = denoiser(spec, networks)

    def timestep_embedding(timestep: tf.Tensor) -> tf.Tensor:
        angles = timestep * frequencies
        return tf.concat([tf.cos(angles), tf.sin(angles)], axis=0)[tf.newaxis]

    def draw_row(
        tokens: tf.Tensor,
        negative_tokens: tf.Tensor,
        num_steps: tf.Tensor,
        guidance_scale: tf.Tensor,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        conditioning = networks.condition(
            networks.text_encoder(pair(spec, tokens, negative_tokens))
        )

        def step(
            i: tf.Tensor, latent: tf.Tensor, clean_before: tf.Tensor, cache: Any
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, Any]:
            row = tf.gather_nd(table, tf.stack([num_steps, i]))
            timestep, inverse_alpha, sigma_over_alpha, a, b, c = tf.unstack(row)
            embedding = timestep_embedding(timestep)
            state = Step(i, num_steps, latent, embedding, conditioning, guidance_scale)
            eps, eps_ahead, cache = predict(state, cache)
            clean = inverse_alpha * latent - sigma_over_alpha * eps
            following = a * latent + b * clean + c * clean_before
            if eps_ahead is not eps:
                clean = inverse_alpha * latent - sigma_over_alpha * eps_ahead
            if spec.trace:
                with tf.control_dependencies([_print_step(i, num_steps, timestep, following)]):
                    following = tf.identity(following)
            return i + 1, tf.ensure_shape(following, latent_shape), clean, cache

        noise = initial_noise(seed, networks.latent_shape)[tf.newaxis]
        shape = tf.TensorShape(latent_shape)
        _, latent, _, _ = tf.while_loop(
            lambda i, latent, clean_before, cache: i < num_steps,
            step,
            (tf.constant(0), noise, tf.zeros(latent_shape), first_cache),
            shape_invariants=(tf.TensorShape([]), shape, shape, cache_shape),
            parallel_iterations=1,
        )
        return _to_pixels(networks.decoder(latent)[0], spec.image_size)

    return draw_row


def _print_step(i: tf.Tensor, num_steps: tf.Tensor, timestep: tf.Tensor, latent: tf.Tensor) -> Any:
    """Prints the loop's step and the latent's statistics to the server's standard error."""
    mean, variance = tf.nn.moments(latent, axes=list(range(len(latent.shape))))
    return tf.print(
        *("trace: step", i + 1, "of", num_steps, "timestep", timestep),
        *("latent mean", mean, "std", tf.sqrt(variance)),
        *("min", tf.reduce_min(latent), "max", tf.reduce_max(latent)),
        output_stream=sys.stderr,
    )


def initial_noise(seed: tf.Tensor, latent_shape: tuple[int, int, int]) -> tf.Tensor:
    """The noise keras_cv 0.9 starts from for that seed: float32 of latent_shape."""
    # `philox` is named because "auto" may choose another generator on another device.
    return tf.random.stateless_normal(
        latent_shape, tf.stack([seed, tf.zeros_like(seed)]), alg="philox"
    )


def _embedding_frequencies(width: int) -> tf.Tensor:
    """Frequencies of keras_cv's sinusoidal embedding: cosines, then sines, of t·frequency."""
    half = width // 2
    exponents = -math.log(_EMBEDDING_MAX_PERIOD) * np.arange(half) / half
    return tf.constant(np.exp(exponents), tf.float32)


def _to_pixels(image: tf.Tensor, image_size: int) -> tf.Tensor:
    """float [H, W, 3] in -1..1 → uint8, rounded to the nearest."""
    pixels = tf.clip_by_value(tf.round((image + 1.0) * 127.5), 0.0, 255.0)
    return tf.ensure_shape(tf.cast(pixels, tf.uint8), [image_size, image_size, 3])
