"""gRPC reflection, by which grpcurl and the like learn the methods and messages of this server.

TF Serving links gRPC's reflection service, which answers with its descriptors. Ours are the same
on the wire and named after another package, so that both can be in one process.
"""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, text_format, wrappers_pb2
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection

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


def enable(server: grpc.Server, health: bool) -> None:
    """Adds the reflection service, which lists itself and what the server answers."""
    services = [f"{_SERVING}.PredictionService", f"{_SERVING}.ModelService"]
    if health:
        services.append(f"{_HEALTH}.Health")
    reflection.enable_server_reflection([*services, reflection.SERVICE_NAME], server, _pool())


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
