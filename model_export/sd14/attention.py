"""The networks' attention with bounded memory: sliced attention.

keras_cv's layers hold the scores of all queries against all keys, and scaled and transposed copies
of them. In float32 at 768 px one such tensor takes 5.4 GB for one guidance pair. Queries do not
depend on each other, so attention can be computed in slices.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from model_export.sd14 import precompute

MAX_SCORE_BYTES = 24 * 2**20
"""Scores computed at once: few enough to fit into the cache."""
_SLICE_DIVISOR = 4
"""A layer with more scores is sliced, each slice at most MAX_SCORE_BYTES by this: it is faster."""
_PARALLEL_SLICES = 2
"""Faster than one at a time; more of them would take more memory."""
_ROWS = 2
"""In a guidance pair."""


def cross_attention(layer: Any, inputs: Any, context: Any = None) -> Any:
    """CrossAttention.call: inputs [B, n, C] attend to context [B, m, K], or to themselves.

    inputs of one row attend to every row of the context.
    """
    # Scaling the queries is cheaper than scaling the scores, of which there are more.
    queries = _heads(layer.to_q(inputs) * layer.scale, layer)
    if context is None:
        keys, values = keys_and_values(layer, inputs)
    else:
        keys, values = precompute.lookup(layer, lambda: keys_and_values(layer, context))
    outputs = sliced_attention(queries, keys, values, MAX_SCORE_BYTES)
    outputs = tf.transpose(outputs, [0, 2, 1, 3])
    flat = tf.reshape(outputs, [-1, inputs.shape[1], layer.num_heads * layer.head_size])
    return layer.out_proj(flat)


def keys_and_values(layer: Any, context: Any) -> tuple[Any, Any]:
    """A CrossAttention's keys and values, each [B, heads, m, d], for context [B, m, K]."""
    return _heads(layer.to_k(context), layer), _heads(layer.to_v(context), layer)


def spatial_self_attention(layer: Any, inputs: Any) -> Any:
    """AttentionBlock.call, the decoder's: every position of inputs [B, h, w, C] attends to all."""
    _, height, width, channels = inputs.shape

    def one_head(tensor: Any) -> Any:
        return tf.reshape(tensor, [-1, 1, height * width, channels])

    normalized = layer.norm(inputs)
    queries = one_head(layer.q(normalized) * channels**-0.5)
    keys, values = one_head(layer.k(normalized)), one_head(layer.v(normalized))
    outputs = sliced_attention(queries, keys, values, MAX_SCORE_BYTES)
    return layer.proj_out(tf.reshape(outputs, [-1, height, width, channels])) + inputs


def _heads(tensor: Any, layer: Any) -> Any:
    """[B, n, heads·d] → [B, heads, n, d]"""
    shape = [-1, tensor.shape[1], layer.num_heads, layer.head_size]
    return tf.transpose(tf.reshape(tensor, shape), [0, 2, 1, 3])


def sliced_attention(queries: Any, keys: Any, values: Any, max_score_bytes: int) -> Any:
    """Attention of queries [B or 1, heads, n, d] to keys [B, heads, m, d]: [B, heads, n, d].

    All at once if the scores take at most max_score_bytes. Otherwise head by head, in slices of a
    quarter of that: larger products than with slices of a few queries of all heads.
    """
    _, heads, length, width = queries.shape
    head_bytes = length * keys.shape[2] * queries.dtype.size
    if _ROWS * heads * head_bytes <= max_score_bytes:
        return softmax_attention(queries, keys, values)
    if queries.shape[0] == 1 and keys.shape[0] != 1:
        queries = tf.repeat(queries, keys.shape[0] or tf.shape(keys)[0], axis=0)
    slices = divisor_of(length, at_least=-(-head_bytes * _SLICE_DIVISOR // max_score_bytes))
    sliced = tf.reshape(queries, [-1, length // slices, width])
    keys, values = (tf.reshape(one, [-1, *one.shape[2:]]) for one in (keys, values))

    def one_slice(inputs: tuple[Any, Any]) -> Any:
        index, some_queries = inputs
        head = index // slices
        return softmax_attention(some_queries, keys[head], values[head])

    # A loop bounds how many slices are in memory; unrolled, all of them could be.
    outputs = tf.map_fn(
        one_slice,
        (tf.range(tf.shape(sliced)[0]), sliced),
        fn_output_signature=queries.dtype,
        parallel_iterations=_PARALLEL_SLICES,
    )
    return tf.reshape(outputs, [-1, heads, length, width])


def softmax_attention(queries: Any, keys: Any, values: Any) -> Any:
    """Attention of scaled queries [..., n, d] to keys and values [..., m, d]: [..., n, d]."""
    scores = tf.matmul(queries, keys, transpose_b=True)
    return tf.matmul(tf.nn.softmax(scores), values)


def divisor_of(number: int, at_least: int) -> int:
    """The smallest divisor of number that is at least at_least."""
    return next(d for d in range(min(at_least, number), number + 1) if number % d == 0)
