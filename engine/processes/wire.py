"""Property values on the wire: protobuf structs, in which secrets carry Pulumi's signature key.

grpc has no type stubs; all users import the untyped `grpc` from here.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2

from engine.values import (
    SECRET_SIGNATURE,
    SIGNATURE_KEY,
    PropertyMap,
    PropertyValue,
    Secret,
    revealed_map,
    whole_number,
)

grpc: Any = importlib.import_module("grpc")

# The SDK sets the same limit on its side.
_MESSAGE_LIMIT_BYTES = 400 * 1024 * 1024
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", _MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_LIMIT_BYTES),
    ("grpc.enable_http_proxy", 0),  # a proxy cannot reach this machine's loopback
]


def from_struct(struct: struct_pb2.Struct) -> PropertyMap:
    """The property map in a message."""
    return {key: _from_value(value) for key, value in struct.fields.items()}


def _from_value(value: struct_pb2.Value) -> PropertyValue:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        mapping = from_struct(value.struct_value)
        if mapping.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
            return Secret(mapping["value"])
        return mapping
    if kind == "list_value":
        return [_from_value(item) for item in value.list_value.values]
    if kind == "number_value":
        return whole_number(value.number_value)
    if kind == "string_value":
        return value.string_value
    if kind == "bool_value":
        return value.bool_value
    return None


def to_struct(values: Mapping[str, PropertyValue], *, keep_secrets: bool = False) -> Any:
    """The message of a property map; secrets are revealed unless `keep_secrets`."""
    struct = struct_pb2.Struct()
    for key, value in (values if keep_secrets else revealed_map(values)).items():
        _set_value(struct.fields[key], value)
    return struct


def _set_value(message: struct_pb2.Value, value: PropertyValue) -> None:
    if isinstance(value, Secret):
        fields = message.struct_value.fields
        fields[SIGNATURE_KEY].string_value = SECRET_SIGNATURE
        _set_value(fields["value"], value.value)
    elif isinstance(value, dict):
        message.struct_value.SetInParent()
        for key, item in value.items():
            _set_value(message.struct_value.fields[key], item)
    elif isinstance(value, list):
        message.list_value.SetInParent()
        for item in value:
            _set_value(message.list_value.values.add(), item)
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int | float):
        message.number_value = value
    elif isinstance(value, str):
        message.string_value = value
    else:
        message.null_value = struct_pb2.NULL_VALUE
