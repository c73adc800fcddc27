"""Protocol messages that no installed package publishes, or that must work before TensorFlow is in.

The messages of the package `tensorflow-serving-api` import TensorFlow, which takes seconds, and
it lacks the configuration files' messages. These are wire and text compatible; field numbers are
those of TF Serving's `apis` and `config` folders and of `grpc.health.v1`. They live in a
descriptor pool of their own, so they never clash with the published ones in the same process.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from devserver.errors import StartError

_Field = descriptor_pb2.FieldDescriptorProto
_STRING, _INT64, _INT32 = _Field.TYPE_STRING, _Field.TYPE_INT64, _Field.TYPE_INT32
_BOOL = _Field.TYPE_BOOL

_MESSAGES: dict[str, dict[str, tuple[int, int | str] | tuple[int, int | str, bool]]] = {
    # message -> field -> (number, scalar type or message name[, repeated])
    "Int64Value": {"value": (1, _INT64)},
    "StringValue": {"value": (1, _STRING)},
    "BoolValue": {"value": (1, _BOOL)},
    "BatchingParameters": {
        "max_batch_size": (1, "Int64Value"),
        "batch_timeout_micros": (2, "Int64Value"),
        "max_enqueued_batches": (3, "Int64Value"),
        "num_batch_threads": (4, "Int64Value"),
        "thread_pool_name": (5, "StringValue"),
        "allowed_batch_sizes": (6, _INT64, True),
        "pad_variable_length_inputs": (7, _BOOL),
        "enable_large_batch_splitting": (8, "BoolValue"),
        "max_execution_batch_size": (9, "Int64Value"),
    },
    "PrometheusConfig": {"enable": (1, _BOOL), "path": (2, _STRING)},
    "MonitoringConfig": {"prometheus_config": (1, "PrometheusConfig")},
    "ModelSpec": {
        "name": (1, _STRING),
        "version": (2, "Int64Value"),
        "signature_name": (3, _STRING),
        "version_label": (4, _STRING),
    },
    # The first field of PredictRequest, GetModelMetadataRequest and GetModelStatusRequest alike.
    "RequestHead": {"model_spec": (1, "ModelSpec")},
    "StatusProto": {"error_code": (1, _INT32), "error_message": (2, _STRING)},
    "ModelVersionStatus": {
        "version": (1, _INT64),
        "state": (2, _INT32),
        "status": (3, "StatusProto"),
    },
    "GetModelStatusResponse": {"model_version_status": (1, "ModelVersionStatus", True)},
    "HealthCheckRequest": {"service": (1, _STRING)},
    "HealthCheckResponse": {"status": (1, _INT32)},
}


def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="devserver.proto", package="devserver", syntax="proto3"
    )
    for name, entries in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind, *repeated) in entries.items():
            entry = message.field.add(name=field_name, number=number)
            entry.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                entry.type = _Field.TYPE_MESSAGE
                entry.type_name = f".devserver.{kind}"
            else:
                entry.type = kind  # pyright: ignore[reportAttributeAccessIssue]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # pyright: ignore[reportAttributeAccessIssue]
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"devserver.{name}"))
        for name in _MESSAGES
    }


_CLASSES = _message_classes()
RequestHead: Any = _CLASSES["RequestHead"]
GetModelStatusResponse: Any = _CLASSES["GetModelStatusResponse"]
HealthCheckRequest: Any = _CLASSES["HealthCheckRequest"]
HealthCheckResponse: Any = _CLASSES["HealthCheckResponse"]
BatchingParameters: Any = _CLASSES["BatchingParameters"]
MonitoringConfig: Any = _CLASSES["MonitoringConfig"]


def read_text_file(flag: str, path: str, message: Any) -> Any:
    """Fills `message` from a file in protobuf's text format.

    Raises:
        StartError: the file cannot be read or parsed; `flag` is named in the message.
    """
    try:
        return text_format.Parse(Path(path).read_text(encoding="utf-8"), message)
    except OSError as error:
        raise StartError(f"--{flag}: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StartError(f"--{flag}: {path} is not UTF-8 text") from error
    except text_format.ParseError as error:
        raise StartError(f"--{flag}: Invalid protobuf file: {path!r}: {error}") from error


def published(module: str) -> Any:
    """A module of the package `tensorflow-serving-api`; imports TensorFlow the first time."""
    return importlib.import_module(f"tensorflow_serving.apis.{module}")
