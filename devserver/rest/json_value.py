"""From the JSON of one value, which may be nested lists, to an array of TensorFlow's type.

Messages are TF Serving's, since clients match on them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from devserver.errors import Code, ServingError, invalid_argument
from devserver.rest.json_parse import debug_text

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


@dataclass
class Tensor:
    """Values in row-major order, the shape of their nesting, and TensorFlow's type name."""

    dtype: str
    shape: list[int]
    values: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, value: Any, dtype: str) -> Tensor:
        tensor = cls(dtype, _shape(value))
        tensor._fill(value, 0)
        return tensor

    def append(self, other: Tensor) -> None:
        """Adds a row of the same shape, which must be that of the first row."""
        size, rows_size = len(other.values), int(np.prod(self.shape, dtype=object))
        if size != rows_size:
            raise invalid_argument(f"Expecting tensor size: {rows_size} but got: {size}")
        if other.shape != self.shape:
            raise invalid_argument(
                f"Expecting shape {_shape_text(self.shape)} but got: {_shape_text(other.shape)}"
            )
        self.values.extend(other.values)

    def array(self, shape: list[int]) -> np.ndarray:
        wide, narrow = _NUMPY_TYPES.get(self.dtype, (np.float32, np.float32))
        with np.errstate(over="ignore", invalid="ignore"):
            if wide is np.object_:
                array = np.empty(len(self.values), np.object_)
                array[:] = self.values
            else:
                array = np.array(self.values, wide).astype(narrow)
        return array.reshape(shape)

    def _fill(self, value: Any, level: int) -> None:
        rank = len(self.shape)
        if not isinstance(value, list):
            if level != rank:
                raise invalid_argument(
                    f"JSON Value: {debug_text(value)} found at incorrect level: {level + 1} in "
                    f"the JSON DOM. Expected at level: {rank}"
                )
            self.values.append(_element(value, self.dtype))
            return
        if level >= rank:
            raise invalid_argument(
                f"Encountered list at unexpected level: {level} expected < {rank}"
            )
        if len(value) != self.shape[level]:
            raise invalid_argument(
                f"Encountered list at unexpected size: {len(value)} at level: {level} expected "
                f"size: {self.shape[level]}"
            )
        for item in value:
            self._fill(item, level + 1)


def _shape(value: Any) -> list[int]:
    """The lengths along the first elements; all other lists must agree with it."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _shape_text(shape: list[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def _element(value: Any, dtype: str) -> Any:
    if isinstance(value, dict):
        if dtype != "string":
            raise _type_error(value, dtype)
        return _base64_bytes(value)
    convert = _ELEMENTS.get(dtype)
    if convert is None:
        raise ServingError(
            Code.UNIMPLEMENTED, f"Conversion of JSON Value: {debug_text(value)} to type: {dtype}"
        )
    return convert(value, dtype)


def is_base64(value: Any) -> bool:
    """Whether it stands for bytes."""
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _base64_bytes(value: dict[str, Any]) -> bytes:
    if not is_base64(value):
        raise invalid_argument(
            f"JSON Value: {debug_text(value)} not formatted correctly for base64 data"
        )
    # Like TF Serving's decoder, this one ignores white space and does not require padding.
    text = "".join(value["b64"].split())
    unpadded = text.rstrip("=")
    try:
        if not _BASE64.fullmatch(text) or (text != unpadded and len(text) % 4):
            raise binascii.Error
        return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4))
    except binascii.Error:
        raise invalid_argument("Unable to base64 decode") from None


def _type_error(value: Any, dtype: str) -> ServingError:
    return invalid_argument(
        f"JSON Value: {debug_text(value)} Type: {_json_type(value)} is not of expected type: "
        f"{dtype}"
    )


def _json_type(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "Null", False: "False", True: "True"}[value]
    return {dict: "Object", list: "Array", str: "String"}.get(type(value), "Number")


def _integer(lowest: int, highest: int) -> Callable[[Any, str], int]:
    def convert(value: Any, dtype: str) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise _type_error(value, dtype)
        return value

    return convert


def _decimal(value: Any, dtype: str) -> float:
    if type(value) not in (int, float):
        raise _type_error(value, dtype)
    try:
        return float(value)
    except OverflowError:
        raise invalid_argument("JSON Parse error: Number too big to be stored in double.") from None


def _boolean(value: Any, dtype: str) -> bool:
    if not isinstance(value, bool):
        raise _type_error(value, dtype)
    return value


def _string(value: Any, dtype: str) -> bytes:
    if not isinstance(value, str):
        raise _type_error(value, dtype)
    return value.encode("utf-8", "surrogateescape")


_INT32 = _integer(-(2**31), 2**31 - 1)
_ELEMENTS: dict[str, Callable[[Any, str], Any]] = {
    "float": _decimal,
    "double": _decimal,
    "int32": _INT32,
    # TF Serving checks these three as int32 and drops the upper bits.
    "int16": _INT32,
    "int8": _INT32,
    "uint8": _INT32,
    "int64": _integer(-(2**63), 2**63 - 1),
    "uint32": _integer(0, 2**32 - 1),
    "uint64": _integer(0, 2**64 - 1),
    "bool": _boolean,
    "string": _string,
}

# Type to collect the values in, and the type of the tensor.
_NUMPY_TYPES: dict[str, tuple[type, type]] = {
    "float": (np.float64, np.float32),
    "double": (np.float64, np.float64),
    "int32": (np.int32, np.int32),
    "int16": (np.int32, np.int16),
    "int8": (np.int32, np.int8),
    "uint8": (np.int32, np.uint8),
    "int64": (np.int64, np.int64),
    "uint32": (np.uint32, np.uint32),
    "uint64": (np.uint64, np.uint64),
    "bool": (np.bool_, np.bool_),
    "string": (np.object_, np.object_),
}
