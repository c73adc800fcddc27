"""Tensors as one string of bytes, which a caller keeps and hands back.

Not `tf.io.parse_tensor`: a damaged message of a few bytes can name a shape of a billion elements,
which TensorFlow then allocates. Here a string describes nothing, so it costs what it is long.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf


class Layout:
    """A mark, then each tensor's values. Only the last tensor's first axis may be of any size.

    name says in error messages what the string is. A string with another mark is refused.
    """

    def __init__(self, name: str, mark: str, *specs: tf.TensorSpec) -> None:
        self._name = name
        self._mark = mark.encode()
        self._specs = specs
        self._sizes = [math.prod(_known(spec)) * spec.dtype.size for spec in specs]
        self._is_open = bool(specs) and None in specs[-1].shape.as_list()

    def pack(self, *tensors: tf.Tensor) -> tf.Tensor:
        """string []"""
        return tf.strings.join([tf.constant(self._mark), *map(_values, tensors)])

    def unpack(self, packed: tf.Tensor) -> list[Any]:
        """The tensors. A string that does not fit fails the request."""
        fixed = self._sizes[:-1] if self._is_open else self._sizes
        length, needed = tf.strings.length(packed), len(self._mark) + sum(fixed)
        is_long_enough = length >= needed if self._is_open else tf.equal(length, needed)
        is_ours = tf.equal(tf.strings.substr(packed, 0, len(self._mark)), self._mark)
        message = f"{self._name} is damaged or of another model: begin the picture again"
        check = tf.debugging.Assert(is_ours & is_long_enough, [message])
        with tf.control_dependencies([check]):
            packed = tf.identity(packed)
        tensors: list[Any] = []
        position = len(self._mark)
        for number, (spec, size) in enumerate(zip(self._specs, self._sizes, strict=True)):
            is_rest = number == len(self._specs) - 1 and self._is_open
            part = tf.strings.substr(packed, position, length - position if is_rest else size)
            shape = [-1 if axis is None else axis for axis in spec.shape.as_list()]
            tensors.append(tf.reshape(tf.io.decode_raw(part, spec.dtype), shape))
            position += size
        return tensors


def _known(spec: tf.TensorSpec) -> list[int]:
    return [axis for axis in spec.shape.as_list() if axis is not None]


def _values(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor's values as bytes: the end of its message, whose last field they are."""
    message = tf.io.serialize_tensor(tensor)
    size = tf.size(tensor) * tensor.dtype.size
    return tf.strings.substr(message, tf.strings.length(message) - size, size)
