"""How much memory a Predict message may take, from its bytes alone, before it is parsed.

Small values grow: parsed and as arrays, a byte of a message takes up to 31. A long string, such as
the state of a picture that is drawn in chunks, stays what it is, in a few copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VALUE_FACTOR = 40
"""The most bytes of memory for a byte of a message: measured, 31."""

STRING_FACTOR = 5
"""For a byte of a long string: the message, parsed, as an array, and TensorFlow's own, are 4."""

LONG_STRING_BYTES = 64 << 10
MAX_FIELDS = 1000
"""What is read of a message at most; one of more fields is taken for small values altogether."""

# https://protobuf.dev/programming-guides/encoding
_LENGTH_DELIMITED = 2
_PATH_OF_STRINGS = (2, 2, 8)
"""`PredictRequest.inputs`, the entry's value, `TensorProto.string_val`."""


class _Field(NamedTuple):
    number: int
    start: int
    end: int


def message_memory(message: bytes) -> int:
    """An upper bound, in bytes. A message that is no PredictRequest is taken for small values."""
    try:
        long = sum(_long_strings(memoryview(message), _PATH_OF_STRINGS, [MAX_FIELDS]))
    except ValueError:
        long = 0
    return VALUE_FACTOR * (len(message) - long) + STRING_FACTOR * long


def _long_strings(
    message: memoryview, path: tuple[int, ...], fields_left: list[int]
) -> Iterator[int]:
    """The lengths of the long strings at the path."""
    for field in _fields(message, fields_left):
        size = field.end - field.start
        if field.number != path[0] or size < LONG_STRING_BYTES:
            continue
        if len(path) == 1:
            yield size
        else:
            yield from _long_strings(message[field.start : field.end], path[1:], fields_left)


def _fields(message: memoryview, fields_left: list[int]) -> Iterator[_Field]:
    """The length-delimited fields.

    Raises:
        ValueError: the message is damaged, or has too many fields.
    """
    position = 0
    while position < len(message):
        fields_left[0] -= 1
        if fields_left[0] < 0:
            raise ValueError("too many fields")
        key, position = _varint(message, position)
        match key & 7:
            case 0:  # a number of variable length
                _, end = _varint(message, position)
            case 1:
                end = position + 8
            case 2:  # length-delimited
                length, position = _varint(message, position)
                end = position + length
            case 5:
                end = position + 4
            case kind:
                raise ValueError(f"wire type {kind}")
        if end > len(message):
            raise ValueError("cut off")
        if key & 7 == _LENGTH_DELIMITED:
            yield _Field(key >> 3, position, end)
        position = end


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """The number there, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("not a number")
