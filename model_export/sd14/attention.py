"""The networks' attention with a bound on its memory.

keras_cv's layers hold the scores of all queries against all keys, and scaled and transposed copies
of them. In float32 at 768 px one such tensor takes 5.4 GB for one pair of rows. Queries do not see
each other, so they can be answered in portions.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from model_export.sd14 import once

MAX_SCORE_BYTES = 24 * 2**20
"""Of scores that are computed at once: few enough that a cache holds them."""
_PORTION_DIVISOR = 4
"""Where a layer has more scores, a portion takes at most MAX_SCORE_BYTES by this: it is faster."""
_PORTIONS_AT_ONCE = 2
"""Faster than one at a time; more of them would take more memory."""
_ROWS = 2
"""Of a guidance pair."""


def attend(layer: Any, inputs: Any, context: Any = None) -> Any:
    """CrossAttention.call: inputs [B, n, C] ask context [B, m, K], or themselves.

    inputs of one row ask every row of the context.
    """
    # Scaling the queries costs less than scaling the scores, which are n times as many.
    queries = _heads(layer.to_q(inputs) * layer.scale, layer)
    if context is None:
        keys, values = keys_and_values(layer, inputs)
    else:
        keys, values = once.find(layer, lambda: keys_and_values(layer, context))
    answers = in_portions(queries, keys, values, MAX_SCORE_BYTES)
    answers = tf.transpose(answers, [0, 2, 1, 3])
    flat = tf.reshape(answers, [-1, inputs.shape[1], layer.num_heads * layer.head_size])
    return layer.out_proj(flat)


def keys_and_values(layer: Any, context: Any) -> tuple[Any, Any]:
    """A CrossAttention's, each [B, heads, m, d], of context [B, m, K]."""
    return _heads(layer.to_k(context), layer), _heads(layer.to_v(context), layer)


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
    """Attention of queries [B or 1, heads, n, d] to keys [B, heads, m, d]: [B, heads, n, d].

    All at once where the scores take at most max_score_bytes. Otherwise by the head, which are
    larger products than those of a few queries of every head, and in portions of a quarter of that.
    """
    _, heads, length, width = queries.shape
    head_bytes = length * keys.shape[2] * queries.dtype.size
    if _ROWS * heads * head_bytes <= max_score_bytes:
        return answer(queries, keys, values)
    if queries.shape[0] == 1 and keys.shape[0] != 1:
        queries = tf.repeat(queries, keys.shape[0] or tf.shape(keys)[0], axis=0)
    portions = divisor_of(length, at_least=-(-head_bytes * _PORTION_DIVISOR // max_score_bytes))
    asked = tf.reshape(queries, [-1, length // portions, width])
    keys, values = (tf.reshape(one, [-1, *one.shape[2:]]) for one in (keys, values))

    def answer_portion(inputs: tuple[Any, Any]) -> Any:
        place, portion = inputs
        head = place // portions
        return answer(portion, keys[head], values[head])

    # A loop, which bounds how many portions are in memory; unrolled, all of them could be.
    answers = tf.map_fn(
        answer_portion,
        (tf.range(tf.shape(asked)[0]), asked),
        fn_output_signature=queries.dtype,
        parallel_iterations=_PORTIONS_AT_ONCE,
    )
    return tf.reshape(answers, [-1, heads, length, width])


def answer(queries: Any, keys: Any, values: Any) -> Any:
    """Attention of scaled queries [..., n, d] to keys and values [..., m, d]: [..., n, d]."""
    scores = tf.matmul(queries, keys, transpose_b=True)
    return tf.matmul(tf.nn.softmax(scores), values)


def divisor_of(number: int, at_least: int) -> int:
    """The smallest divisor of number that is not below at_least."""
    return next(d for d in range(min(at_least, number), number + 1) if number % d == 0)
