"""A request's inputs, checked or made safe in the graph.

TF Serving checks types, but neither rank nor inner shape, so the graph does. One bad row would fail
the whole batch, so values out of range are made safe instead of refused.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

import tensorflow as tf

from model_export.spec import MAX_PROMPT_TOKENS, ModelSpec
from model_export.vocabulary import END_OF_TEXT, VOCABULARY_SIZE

PROMPT = tf.TensorSpec([None], tf.string, "prompt")
NEGATIVE_PROMPT = tf.TensorSpec([None], tf.string, "negative_prompt")
TOKENS = tf.TensorSpec([None, MAX_PROMPT_TOKENS], tf.int32, "tokens")
NEGATIVE_TOKENS = tf.TensorSpec([None, MAX_PROMPT_TOKENS], tf.int32, "negative_prompt_tokens")
NUM_STEPS = tf.TensorSpec([None], tf.int32, "num_steps")
GUIDANCE_SCALE = tf.TensorSpec([None], tf.float32, "guidance_scale")
SEED = tf.TensorSpec([None], tf.int64, "seed")
PICTURE = (PROMPT, NEGATIVE_PROMPT, NUM_STEPS, GUIDANCE_SCALE, SEED)
PICTURE_OF_TOKENS = (TOKENS, NEGATIVE_TOKENS, NUM_STEPS, GUIDANCE_SCALE, SEED)
QUERY = tf.TensorSpec([None], tf.string, "query")
STATE = tf.TensorSpec([None], tf.string, "state")
CONTEXT = tf.TensorSpec([None], tf.string, "context")
STEPS = tf.TensorSpec([None], tf.int32, "steps")


def of_equal_rows(*inputs: tf.Tensor) -> list[tf.Tensor]:
    """The inputs, checked to have their ranks and inner shapes, and equally many rows."""
    first, *others = (tf.ensure_shape(one, one.shape) for one in inputs)
    rows = tf.shape(first)[0]
    checked = [first]
    for other in others:
        same = tf.debugging.assert_equal(
            tf.shape(other)[0], rows, message="inputs must have the same number of rows"
        )
        with tf.control_dependencies([same]):
            checked.append(tf.identity(other))
    return checked


def known_tokens(tokens: tf.Tensor) -> tf.Tensor:
    """Ids outside the vocabulary read as the end token."""
    known = (tokens >= 0) & (tokens < VOCABULARY_SIZE)
    return tf.where(known, tokens, END_OF_TEXT)


def safe_steps(spec: ModelSpec, num_steps: tf.Tensor) -> tf.Tensor:
    """min_steps to max_steps."""
    return tf.clip_by_value(num_steps, spec.min_steps, spec.max_steps)


def safe_guidance(spec: ModelSpec, guidance_scale: tf.Tensor) -> tf.Tensor:
    """0 to 30, or a distilled model's own range; NaN reads as the spec's default."""
    default = tf.constant(spec.guidance_scale, tf.float32)
    number = tf.where(tf.math.is_nan(guidance_scale), default, guidance_scale)
    least = 1.0 if spec.is_distilled else 0.0
    return tf.clip_by_value(number, least, spec.max_guidance_scale)
