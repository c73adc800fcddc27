"""The exported graph: from a prompt to a PNG file, in one TensorFlow module with its signatures.

Rows of a batch are independent by construction: they run one after another, and each calls the
networks only on its own pair (negative prompt, prompt), so a row's result does not depend on its
neighbours, bit for bit.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from model_export import inputs, preview
from model_export.chunks import Chunks
from model_export.description import description
from model_export.drawing import RowFunctions
from model_export.networks import Networks
from model_export.reported import reported_fingerprint
from model_export.spec import SEED_LIMIT, SIGNATURES, ModelSpec
from model_export.tokenizer import ClipTokenizer

_STRING = tf.TensorSpec([], tf.string)
_NUMBER = tf.TensorSpec([], tf.int32)


class TextToImage(tf.Module):
    """A model ready to be saved: `signatures()` are its entry points.

    Inputs out of range are made safe, never refused, since one bad row would fail the whole batch:
    num_steps is clamped to min_steps..max_steps (and returned), guidance_scale to 0..30, or to a
    distilled model's own range (and then returned), with NaN read as the spec's default; token ids
    outside the vocabulary read as the end token. Any int64 is a seed; 0 ≤ seed < 2³¹ − 2 gives
    keras_cv's noise for it. A wrong rank or inner shape, inputs of unequal batch size, and a
    damaged state or context fail the request. An empty batch gives an empty result.
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
            self._tokenizer.__call__, input_signature=[inputs.PROMPT], autograph=False
        )
        row = RowFunctions(spec, networks)
        fitted = preview.fitted(spec, networks, row, self._tokenizer)
        self.chunks = Chunks(spec, row, fitted, self._fingerprint)
        picture = tf.TensorSpec([spec.image_size, spec.image_size, 3], tf.uint8)
        self._picture = picture

        @tf.function(input_signature=inputs.PICTURE_OF_TOKENS, autograph=False, jit_compile=False)
        def draw(*rows: tf.Tensor) -> tf.Tensor:
            return _row_by_row(row.draw, rows, picture)

        self._draw = draw

    def state(self) -> tf.Module:
        """The variables and lookup tables that the signatures read, without the functions.

        Saving the functions too would trace each of them again and store the networks twice.
        """
        return _State(self.weights, self._tokenizer)

    def signatures(self) -> dict[str, Any]:
        """The concrete function of each signature. The first call traces the graph."""
        return {name: getattr(self, name).get_concrete_function() for name in SIGNATURES}

    @tf.function(input_signature=inputs.PICTURE, autograph=False)
    def serving_default(
        self,
        prompt: tf.Tensor,
        negative_prompt: tf.Tensor,
        num_steps: tf.Tensor,
        guidance_scale: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The caller chooses everything; every input and output has only the batch axis."""
        return self._answer(
            *inputs.of_equal_rows(prompt, negative_prompt, num_steps, guidance_scale, seed)
        )

    @tf.function(input_signature=[inputs.PROMPT], autograph=False)
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

    @tf.function(input_signature=inputs.PICTURE_OF_TOKENS, autograph=False)
    def tokens(
        self,
        tokens: tf.Tensor,
        negative_prompt_tokens: tf.Tensor,
        num_steps: tf.Tensor,
        guidance_scale: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """For callers with their own tokenizer: ids in, raw pixels out."""
        tokens, negative, num_steps, guidance_scale, seed = inputs.of_equal_rows(
            tokens, negative_prompt_tokens, num_steps, guidance_scale, seed
        )
        return {
            "images": self._draw(
                inputs.known_tokens(tokens),
                inputs.known_tokens(negative),
                inputs.safe_steps(self._spec, num_steps),
                inputs.safe_guidance(self._spec, guidance_scale),
                seed,
            )
        }

    @tf.function(input_signature=[inputs.QUERY], autograph=False)
    def describe(self, query: tf.Tensor) -> dict[str, tf.Tensor]:
        """What this model is, as JSON; the query is ignored, and only says how many rows to fill.

        A row per input row, because a server's batching requires it.
        """
        query = tf.ensure_shape(query, [None])
        return {"description": tf.fill(tf.shape(query), self._description)}

    @tf.function(input_signature=inputs.PICTURE, autograph=False)
    def begin(
        self,
        prompt: tf.Tensor,
        negative_prompt: tf.Tensor,
        num_steps: tf.Tensor,
        guidance_scale: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The first call of a picture in chunks. The inputs are those of serving_default."""
        rows, said = self._understood(
            *inputs.of_equal_rows(prompt, negative_prompt, num_steps, guidance_scale, seed)
        )
        state, context = _row_by_row(self.chunks.begin, rows, (_STRING, _STRING))
        return {"state": state, "context": context, **said}

    @tf.function(input_signature=[inputs.STATE, inputs.CONTEXT, inputs.STEPS], autograph=False)
    def advance(
        self, state: tf.Tensor, context: tf.Tensor, steps: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """So many steps more, up to the last; a number below 0 counts as 0."""
        rows = inputs.of_equal_rows(state, context, steps)
        names = ("state", "step", "num_steps", "preview")
        kinds = (_STRING, _NUMBER, _NUMBER, _STRING)
        return dict(zip(names, _row_by_row(self.chunks.advance, rows, kinds), strict=True))

    @tf.function(input_signature=[inputs.STATE], autograph=False)
    def finish(self, state: tf.Tensor) -> dict[str, tf.Tensor]:
        """The picture after the steps that are done."""
        (state,) = inputs.of_equal_rows(state)
        images = _row_by_row(self.chunks.finish, (state,), self._picture)
        return {
            "image_bytes": _as_png(images),
            "fingerprint": tf.fill(tf.shape(state), self._fingerprint),
        }

    def _answer(self, *asked: tf.Tensor) -> dict[str, tf.Tensor]:
        rows, said = self._understood(*asked)
        return {"image_bytes": _as_png(self._draw(*rows)), **said}

    def _understood(
        self,
        prompt: tf.Tensor,
        negative_prompt: tf.Tensor,
        num_steps: tf.Tensor,
        guidance_scale: tf.Tensor,
        seed: tf.Tensor,
    ) -> tuple[tuple[tf.Tensor, ...], dict[str, tf.Tensor]]:
        """(what to draw, in the order of RowFunctions.draw; what to say about it)"""
        positive, negative = self._tokenize(prompt), self._tokenize(negative_prompt)
        num_steps = inputs.safe_steps(self._spec, num_steps)
        guidance_scale = inputs.safe_guidance(self._spec, guidance_scale)
        said = {
            "seed": tf.identity(seed),
            "num_steps": num_steps,
            "prompt_tokens": positive.prompt_tokens,
            "truncated": positive.truncated,
            "negative_prompt_tokens": negative.prompt_tokens,
            "negative_prompt_truncated": negative.truncated,
            "fingerprint": tf.fill(tf.shape(prompt), self._fingerprint),
        }
        if self._spec.is_distilled:
            said["guidance_scale"] = guidance_scale
        return (positive.tokens, negative.tokens, num_steps, guidance_scale, seed), said


class _State(tf.Module):
    def __init__(self, weights: list[tf.Variable], tokenizer: ClipTokenizer) -> None:
        super().__init__(name="text_to_image")
        self.weights = weights
        self.tokenizer = tokenizer


def _row_by_row(function: Callable[..., Any], rows: Sequence[tf.Tensor], result: Any) -> Any:
    """The function's results for one row after the other."""
    return tf.map_fn(
        lambda row: function(*row), tuple(rows), fn_output_signature=result, parallel_iterations=1
    )


def _as_png(images: tf.Tensor) -> tf.Tensor:
    return tf.map_fn(tf.io.encode_png, images, fn_output_signature=tf.string, parallel_iterations=1)
