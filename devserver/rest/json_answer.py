"""From arrays to the JSON of a predict response, laid out as TF Serving writes it."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from devserver.errors import invalid_argument
from devserver.rest.json_tensor import Format

_BYTES_SUFFIX = "_bytes"
_INDENT = "    "


def encode(request_format: Format, outputs: Mapping[str, np.ndarray]) -> bytes:
    """The body of the response. A single output is bare, several are an object by alias.

    Raises:
        ServingError: INVALID_ARGUMENT when the outputs do not fit the format.
    """
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    if request_format is Format.ROW:
        key, text = "predictions", _rows(outputs)
    else:
        key, text = "outputs", _columns(outputs)
    return _object({key: text}, 0).encode("utf-8", "surrogateescape")


def error_body(message: str) -> bytes:
    text = _object({"error": json.dumps(message, ensure_ascii=False)}, 0)
    return text.encode("utf-8", "surrogateescape")


def _rows(outputs: Mapping[str, np.ndarray]) -> str:
    batch_size: int | None = None
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if batch_size not in (None, array.shape[0]):
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} expecting: "
                f"{batch_size}"
            )
        batch_size = array.shape[0]
    writers = {name: _writer(name, array) for name, array in outputs.items()}
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        rows = [_nested(row, writers[name], 2, ", ") for row in array.tolist()]
        # TF Serving writes the values in one line, and closes the list in the next.
        return "[" + ", ".join(rows) + f"\n{_INDENT}]" if rows else "[]"
    columns = {name: array.tolist() for name, array in outputs.items()}
    objects = [
        _object({name: _nested(columns[name][row], writers[name], 3, ", ") for name in outputs}, 2)
        for row in range(batch_size or 0)
    ]
    return _lines(objects, 1)


def _columns(outputs: Mapping[str, np.ndarray]) -> str:
    level = 1 if len(outputs) == 1 else 2
    columns = {
        name: _nested(array.tolist(), _writer(name, array), level)
        for name, array in outputs.items()
    }
    return next(iter(columns.values())) if len(columns) == 1 else _object(columns, 1)


def _object(members: Mapping[str, str], level: int) -> str:
    """An object; `level` is the number of enclosing lists and objects."""
    pad = _INDENT * (level + 1)
    lines = [f"{pad}{json.dumps(name)}: {text}" for name, text in members.items()]
    return "{\n" + ",\n".join(lines) + "\n" + _INDENT * level + "}"


def _lines(items: Sequence[str], level: int) -> str:
    """A list with one item a line."""
    if not items:
        return "[]"
    pad = _INDENT * (level + 1)
    return "[\n" + ",\n".join([pad + item for item in items]) + f"\n{_INDENT * level}]"


_Writer = Callable[[Any, int], str]
"""From one element, and the number of enclosing lists and objects, to its text."""


def _nested(value: Any, write: _Writer, level: int, separator: str = "") -> str:
    """A value with its lists in one line, or without a separator one item a line."""
    if not isinstance(value, list):
        return write(value, level)
    items = [_nested(item, write, level + 1, separator) for item in value]
    return "[" + separator.join(items) + "]" if separator else _lines(items, level)


def _writer(name: str, array: np.ndarray) -> _Writer:
    """How one element of the array is written."""
    kind = array.dtype
    if kind == np.object_:
        if name.endswith(_BYTES_SUFFIX):
            return lambda value, level: _object(
                {"b64": f'"{base64.b64encode(value).decode()}"'}, level
            )
        return lambda value, _: json.dumps(
            value.decode("utf-8", "surrogateescape"), ensure_ascii=False
        )
    if kind == np.bool_:
        return lambda value, _: "true" if value else "false"
    if kind == np.float32:
        return lambda value, _: _decimal(value, 9, np.float32)
    if kind == np.float64:
        return lambda value, _: _decimal(value, 17, float)
    if kind in (np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint32, np.uint64):
        return lambda value, _: str(value)
    tensorflow_name = {"float16": "half"}.get(kind.name, kind.name)
    raise invalid_argument(f"Failed to write JSON value for tensor type: {tensorflow_name}")


def _decimal(value: float, full_digits: int, kind: Callable[[Any], Any]) -> str:
    """Six digits if they round-trip, else as many as the type may need."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.6g}"
    if kind(float(text)) != kind(value):
        text = f"{value:.{full_digits}g}"
    return text if "." in text or "e" in text else text + ".0"
