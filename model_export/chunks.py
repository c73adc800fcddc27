"""A picture drawn some steps at a time: begin, advance as often as it takes, finish.

Between the calls the caller keeps two strings: the state, which each advance replaces, and the
context, which is the encoded text. Both hold everything, so any server of the same model can go on.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from model_export.drawing import Drawing, RowFunctions
from model_export.packing import Layout
from model_export.preview import Preview
from model_export.spec import ModelSpec


class Chunks:
    """The three calls, for one row each. mark: what tells this model's strings from others'."""

    def __init__(self, spec: ModelSpec, row: RowFunctions, preview: Preview, mark: str) -> None:
        self._row = row
        self._preview = preview
        self._min_steps, self._max_steps = spec.min_steps, spec.max_steps
        _, *tensors = tf.nest.flatten(row.drawing_spec)
        numbers = tf.TensorSpec([2], tf.int32)  # the step, and how many there are
        guidance_scale = tf.TensorSpec([], tf.float32)
        self._state = Layout("state", mark, numbers, guidance_scale, *tensors)
        self._context = Layout("context", mark, row.context_spec)

    def begin(
        self,
        tokens: tf.Tensor,
        negative_tokens: tf.Tensor,
        num_steps: tf.Tensor,
        guidance_scale: tf.Tensor,
        seed: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """(state, context) before the first step."""
        context = self._row.encode(tokens, negative_tokens, guidance_scale)
        state = self._packed(num_steps, guidance_scale, self._row.start(seed))
        return state, self._context.pack(context)

    def advance(
        self, state: tf.Tensor, context: tf.Tensor, steps: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """(state, steps done, steps in all, preview) after so many further steps at most."""
        num_steps, guidance_scale, before = self._unpacked(state)
        texts = self._texts(context, guidance_scale)
        until = before.step + tf.clip_by_value(steps, 0, num_steps - before.step)
        drawn = self._row.advance(texts, num_steps, guidance_scale, until, before)
        preview = tf.io.encode_png(self._preview.draw(drawn.clean)[0])
        packed = self._packed(num_steps, guidance_scale, drawn)
        return packed, tf.ensure_shape(drawn.step, []), num_steps, preview

    def finish(self, state: tf.Tensor) -> tf.Tensor:
        """The picture as it is then, uint8 [H, W, 3]."""
        _, _, drawing = self._unpacked(state)
        return self._row.decode(drawing.latent)

    def blank_strings(self, step: int) -> tuple[bytes, bytes]:
        """(state, context) of the shortest picture, after so many steps, with nothing in them."""
        latent = tf.zeros(self._row.latent_shape)
        start = self._row.start(tf.constant(0, tf.int64))
        blank = start._replace(step=tf.constant(step), latent=latent, clean=latent)
        state = self._packed(tf.constant(self._min_steps), tf.constant(1.0), blank)
        texts, *shape = self._row.context_spec.shape
        context = self._context.pack(tf.zeros([texts or 1, *shape]))
        return bytes(state.numpy()), bytes(context.numpy())

    def _texts(self, context: tf.Tensor, guidance_scale: tf.Tensor) -> tf.Tensor:
        (texts,) = self._context.unpack(context)
        if self._row.context_spec.shape[0] is not None:
            return texts
        count = self._row.text_count(guidance_scale)
        message = "context is of another picture: begin the picture again"
        check = tf.debugging.Assert(tf.equal(tf.shape(texts)[0], count), [message])
        with tf.control_dependencies([check]):
            return tf.identity(texts)

    def _packed(
        self, num_steps: tf.Tensor, guidance_scale: tf.Tensor, drawing: Drawing
    ) -> tf.Tensor:
        drawing = self._row.without_idle_cache(drawing, num_steps)
        step, *tensors = tf.nest.flatten(drawing)
        return self._state.pack(tf.stack([step, num_steps]), guidance_scale, *tensors)

    def _unpacked(self, state: tf.Tensor) -> tuple[Any, Any, Drawing]:
        numbers, guidance_scale, *tensors = self._state.unpack(state)
        step, num_steps = tf.unstack(numbers)
        is_possible = (step >= 0) & (step <= num_steps) & (num_steps >= self._min_steps)
        is_possible &= num_steps <= self._max_steps
        check = tf.debugging.Assert(is_possible, ["state has an impossible step", numbers])
        with tf.control_dependencies([check]):
            step = tf.identity(step)
        drawing = tf.nest.pack_sequence_as(self._row.drawing_spec, [step, *tensors])
        return num_steps, guidance_scale, drawing
