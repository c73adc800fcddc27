"""The values in gRPC's tensors of one element."""

from __future__ import annotations

import struct
from typing import Any

from tfserving.tensor_pb2 import (
    DT_BOOL,
    DT_FLOAT,
    DT_INT32,
    DT_INT64,
    DT_STRING,
    DataType,
    TensorProto,
)

VALUE_FIELDS = {
    DT_FLOAT: "float_val",
    DT_INT32: "int_val",
    DT_STRING: "string_val",
    DT_INT64: "int64_val",
    DT_BOOL: "bool_val",
}
_CONTENT_FORMATS = {DT_INT32: "<i", DT_INT64: "<q", DT_BOOL: "<?"}
"""How a server with --enable_serialization_as_tensor_content writes one number."""


def value_of(tensor: TensorProto, dtype: DataType) -> Any:
    """The one element of a tensor of this type. Raises ValueError otherwise."""
    if tensor.dtype != dtype:
        raise ValueError(f"a tensor of type {tensor.dtype}, not {dtype}")
    if tensor.tensor_content and dtype in _CONTENT_FORMATS:
        (value,) = struct.unpack(_CONTENT_FORMATS[dtype], tensor.tensor_content)
    else:
        (value,) = getattr(tensor, VALUE_FIELDS[dtype])
    return value


def optional_value_of(tensor: TensorProto | None, dtype: DataType, default: Any) -> Any:
    return default if tensor is None else value_of(tensor, dtype)
