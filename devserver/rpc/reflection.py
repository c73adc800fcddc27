"""gRPC reflection, by which grpcurl and the like learn the methods and messages of this server.

TF Serving links gRPC's reflection service, which answers with its descriptors. Ours are the same
on the wire and named after another package, so that both can be in one process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, text_format, wrappers_pb2
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from devserver.rpc.calls import Calls
from tfserving import (
    health_pb2,
    model_metadata_pb2,
    model_pb2,
    model_status_pb2,
    predict_pb2,
    services_pb2,
    tensor_pb2,
)

_PACKAGE = "tfserving"
_SERVING = "tensorflow.serving"
_HEALTH = "grpc.health.v1"


class _Servicer(reflection.ReflectionServicer):
    """A stream of questions has a limit on time, so that none holds a thread for ever."""

    def __init__(self, services: list[str], calls: Calls) -> None:
        super().__init__(services, _pool())
        self._calls = calls

    def ServerReflectionInfo(self, request_iterator: Any, context: Any) -> Iterator[Any]:
        with self._calls.limited(context):
            yield from super().ServerReflectionInfo(request_iterator, context)


def enable(server: grpc.Server, calls: Calls, health: bool) -> None:
    """Adds the reflection service, which lists itself and what the server answers."""
    services = [f"{_SERVING}.PredictionService", f"{_SERVING}.ModelService"]
    if health:
        services.append(f"{_HEALTH}.Health")
    services.append(reflection.SERVICE_NAME)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(_Servicer(services, calls), server)


def _pool() -> descriptor_pool.DescriptorPool:
    """The descriptors under their published names; a file comes after those it imports."""
    pool = descriptor_pool.DescriptorPool()
    for module in (any_pb2, wrappers_pb2):
        _add(pool, module.DESCRIPTOR, "")
    for module in (
        *(tensor_pb2, model_pb2, predict_pb2, model_metadata_pb2, model_status_pb2),
        services_pb2,
    ):
        _add(pool, module.DESCRIPTOR, _SERVING)
    _add(pool, health_pb2.DESCRIPTOR, _HEALTH)
    return pool


def _add(pool: descriptor_pool.DescriptorPool, file: FileDescriptor, package: str) -> None:
    message = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(message)
    if package:
        text = text_format.MessageToString(message).replace(f'".{_PACKAGE}.', f'".{package}.')
        message = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
        message.package = package
    pool.AddSerializedFile(message.SerializeToString())
