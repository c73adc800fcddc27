"""From arrays to the JSON of a predict answer, laid out as TF Serving writes it."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from devserver.errors import invalid_argument
from devserver.json_tensor import Format

_BYTES_SUFFIX = "_bytes"
_INDENT = "    "


def encode(request_format: Format, outputs: Mapping[str, np.ndarray]) -> bytes:
    """The body of the answer. One output stands alone, several are an object by alias.

    Raises:
        ServingError: INVALID_ARGUMENT when the outputs do not fit the format.
    """
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    if request_format is Format.ROW:
        text = _rows(outputs)
    else:
        columns = {name: _value(name, array, array, 2) for name, array in outputs.items()}
        text = _object({"outputs": _members(columns, 1)}, 0)
    return text.encode("utf-8", "surrogateescape")


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
    rows = [
        _members({name: _value(name, array, array[row], 3) for name, array in outputs.items()}, 2)
        for row in range(batch_size or 0)
    ]
    return _object({"predictions": "[" + ", ".join(rows) + f"\n{_INDENT}]"}, 0)


def _members(values: Mapping[str, str], level: int) -> str:
    if len(values) == 1:
        return next(iter(values.values()))
    return _object(values, level)


def _object(members: Mapping[str, str], level: int) -> str:
    pad = _INDENT * (level + 1)
    lines = [f"{pad}{json.dumps(name)}: {text}" for name, text in members.items()]
    return "{\n" + ",\n".join(lines) + "\n" + _INDENT * level + "}"


def _value(name: str, array: np.ndarray, part: Any, level: int) -> str:
    """The text of `part`, which is `array` or one row of it."""
    text = _writer(name, array, level)
    return _nested(part.tolist() if isinstance(part, np.ndarray | np.generic) else part, text)


def _nested(value: Any, text: Callable[[Any], str]) -> str:
    if isinstance(value, list):
        return "[" + ", ".join([_nested(item, text) for item in value]) + "]"
    return text(value)


def _writer(name: str, array: np.ndarray, level: int) -> Callable[[Any], str]:
    """How one element of the array is written."""
    kind = array.dtype
    if kind == np.object_:
        if name.endswith(_BYTES_SUFFIX):
            return lambda value: _object(
                {"b64": f'"{base64.b64encode(value).decode()}"'}, level - 1
            )
        return lambda value: json.dumps(
            value.decode("utf-8", "surrogateescape"), ensure_ascii=False
        )
    if kind == np.bool_:
        return lambda value: "true" if value else "false"
    if kind == np.float32:
        return lambda value: _decimal(value, 9, np.float32)
    if kind == np.float64:
        return lambda value: _decimal(value, 17, float)
    if kind in (np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint32, np.uint64):
        return str
    tensorflow_name = {"float16": "half"}.get(kind.name, kind.name)
    raise invalid_argument(f"Failed to write JSON value for tensor type: {tensorflow_name}")


def _decimal(value: float, full_digits: int, kind: Callable[[Any], Any]) -> str:
    """Six digits when they give the value back, else as many as its type may need."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.6g}"
    if kind(float(text)) != kind(value):
        text = f"{value:.{full_digits}g}"
    return text if "." in text or "e" in text else text + ".0"
