"""The networks' attention with a bound on its memory.

keras_cv's layers hold the scores of all queries against all keys, and scaled and transposed copies
of them. In float32 at 768 px one such tensor takes 5.4 GB for one pair of rows. Queries do not see
each other, so they can be answered in portions.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

MAX_SCORE_BYTES = 24 * 2**20
"""Of one portion's scores for one pair of rows: few enough that a cache holds them."""
_PORTIONS_AT_ONCE = 2
"""Faster than one at a time; more of them would take more memory."""
_ROWS = 2


def attend(layer: Any, inputs: Any, context: Any = None) -> Any:
    """CrossAttention.call: inputs [B, n, C] ask context [B, m, K], or themselves."""
    context = inputs if context is None else context
    # Scaling the queries costs less than scaling the scores, which are n times as many.
    queries = _heads(layer.to_q(inputs) * layer.scale, layer)
    keys = _heads(layer.to_k(context), layer)
    values = _heads(layer.to_v(context), layer)
    answers = in_portions(queries, keys, values, MAX_SCORE_BYTES)
    answers = tf.transpose(answers, [0, 2, 1, 3])
    flat = tf.reshape(answers, [-1, inputs.shape[1], layer.num_heads * layer.head_size])
    return layer.out_proj(flat)


def attend_to_places(layer: Any, inputs: Any) -> Any:
    """AttentionBlock.call, the decoder's: every place of inputs [B, h, w, C] asks all places."""
    _, height, width, channels = inputs.shape

    def one_head(tensor: Any) -> Any:
        return tf.reshape(tensor, [-1, 1, height * width, channels])

    normalized = layer.norm(inputs)
    queries = one_head(layer.q(normalized) * channels**-0.5)
    keys, values = one_head(layer.k(normalized)), one_head(layer.v(normalized))
    answers = in_portions(queries, keys, values, MAX_SCORE_BYTES)
    return layer.proj_out(tf.reshape(answers, [-1, height, width, channels])) + inputs


def _heads(tensor: Any, layer: Any) -> Any:
    """[B, n, heads·d] → [B, heads, n, d]"""
    shape = [-1, tensor.shape[1], layer.num_heads, layer.head_size]
    return tf.transpose(tf.reshape(tensor, shape), [0, 2, 1, 3])


def in_portions(queries: Any, keys: Any, values: Any, max_score_bytes: int) -> Any:
    """Attention of queries [B, heads, n, d], so many at a time that the scores fit."""
    _, heads, length, width = queries.shape
    score_bytes = _ROWS * heads * length * keys.shape[2] * queries.dtype.size
    portions = _divisor_of(length, at_least=-(-score_bytes // max_score_bytes))

    def answer(portion: Any) -> Any:
        scores = tf.matmul(portion, keys, transpose_b=True)
        return tf.matmul(tf.nn.softmax(scores), values)

    if portions == 1:
        return answer(queries)
    split = tf.reshape(queries, [-1, heads, portions, length // portions, width])
    # A loop, which bounds how many portions are in memory; unrolled, all of them could be.
    answers = tf.map_fn(
        answer, tf.transpose(split, [2, 0, 1, 3, 4]), parallel_iterations=_PORTIONS_AT_ONCE
    )
    return tf.reshape(tf.transpose(answers, [1, 2, 0, 3, 4]), [-1, heads, length, width])


def _divisor_of(number: int, at_least: int) -> int:
    """The smallest divisor of number that is not below at_least."""
    return next(d for d in range(min(at_least, number), number + 1) if number % d == 0)
