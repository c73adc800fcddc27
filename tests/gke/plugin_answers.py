"""How a provider's plugin answers the engine: values, and errors."""

from __future__ import annotations

from typing import Any, NoReturn, cast

import grpc
from google.protobuf import any_pb2, json_format, struct_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import provider_pb2

from tests.gke.google_kinds import Properties


def as_dict(struct: struct_pb2.Struct) -> Properties:
    return cast(Properties, json_format.MessageToDict(struct))


def as_struct(values: Properties) -> struct_pb2.Struct:
    return json_format.ParseDict(values, struct_pb2.Struct())


def abort(context: Any, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError  # abort raises


def abort_initialising(context: Any, id_: str, outputs: Properties, inputs: Properties) -> NoReturn:
    """The resource exists, and goes into the state as not yet initialised."""
    failure = provider_pb2.ErrorResourceInitFailed(
        id=id_,
        properties=as_struct(outputs),
        reasons=["the wait for it was cancelled"],
        inputs=as_struct(inputs),
    )
    detail = any_pb2.Any()
    detail.Pack(failure)
    code = grpc.StatusCode.UNKNOWN
    status = status_pb2.Status(code=code.value[0], message="cancelled", details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    abort(context, "cancelled")
