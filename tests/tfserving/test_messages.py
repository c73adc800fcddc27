"""Our messages are TF Serving's: every field that we declare is the published package's field."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, text_format

PACKAGE = Path(__file__).resolve().parents[2] / "tfserving"
MODULES = [f"tfserving.{path.stem}" for path in sorted(PACKAGE.glob("*_pb2.py"))]
PUBLISHED_PACKAGES = ("tensorflow.serving", "tensorflow", "tensorflow.error")

# No package that the tests install has these. Number, type, whether it is repeated.
UNPUBLISHED = {
    # servables/tensorflow/session_bundle_config.proto
    "BatchingParameters": {
        "max_batch_size": (1, "google.protobuf.Int64Value", False),
        "batch_timeout_micros": (2, "google.protobuf.Int64Value", False),
        "max_enqueued_batches": (3, "google.protobuf.Int64Value", False),
        "num_batch_threads": (4, "google.protobuf.Int64Value", False),
        "thread_pool_name": (5, "google.protobuf.StringValue", False),
        "allowed_batch_sizes": (6, "int64", True),
        "pad_variable_length_inputs": (7, "bool", False),
        "enable_large_batch_splitting": (8, "google.protobuf.BoolValue", False),
        "max_execution_batch_size": (9, "google.protobuf.Int64Value", False),
    },
    # config/monitoring_config.proto
    "PrometheusConfig": {"enable": (1, "bool", False), "path": (2, "string", False)},
    "MonitoringConfig": {"prometheus_config": (1, "PrometheusConfig", False)},
    # grpc/health/v1/health.proto
    "HealthCheckRequest": {"service": (1, "string", False)},
    "HealthCheckResponse": {"status": (1, "HealthCheckResponse.ServingStatus", False)},
}
SERVING_STATUS = {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2, "SERVICE_UNKNOWN": 3}


def nested(messages: Any) -> Iterator[Any]:
    for message in messages:
        yield message
        yield from nested(message.nested_types)


FILES = [importlib.import_module(module).DESCRIPTOR for module in MODULES]
MESSAGES = {
    message.full_name.removeprefix("tfserving."): message
    for file in FILES
    for message in nested(file.message_types_by_name.values())
}
ENUMS = {
    enum.full_name.removeprefix("tfserving."): enum
    for scope in [
        *(file.enum_types_by_name.values() for file in FILES),
        *(message.enum_types for message in MESSAGES.values()),
    ]
    for enum in scope
}


@pytest.fixture(scope="session")
def published() -> dict[str, Any]:
    """The published messages and enums by their names without a package."""
    from google.protobuf import descriptor_pool

    for module in ("predict", "prediction_log", "get_model_status", "get_model_metadata"):
        importlib.import_module(f"tensorflow_serving.apis.{module}_pb2")
    pool = descriptor_pool.Default()
    found: dict[str, Any] = {}
    for names, find in (
        (MESSAGES, pool.FindMessageTypeByName),
        (ENUMS, pool.FindEnumTypeByName),
    ):
        for name in names:
            for package in PUBLISHED_PACKAGES:
                try:
                    found[name] = find(f"{package}.{name}")
                except KeyError:
                    continue
                break
    return found


def own_name(kind: Any) -> str:
    """The name of a field's message or enum without its package, and google's in whole."""
    name = kind.full_name
    for package in ("tfserving", *sorted(PUBLISHED_PACKAGES, key=len, reverse=True)):
        if name.startswith(f"{package}."):
            return name.removeprefix(f"{package}.")
    return name


def traits(field: Any) -> dict[str, Any]:
    """All that decides what a field is on the wire, as text and as JSON."""
    kind = field.message_type or field.enum_type
    return {
        "number": field.number,
        "type": field.type,
        "message or enum": kind and own_name(kind),
        "is a map": bool(field.message_type and field.message_type.GetOptions().map_entry),
        "is repeated": field.is_repeated,
        "is packed": field.is_packed,
        "has presence": field.has_presence,
        "oneof": field.containing_oneof and field.containing_oneof.name,
        "JSON name": field.json_name,
    }


def test_the_protobuf_package_is_our_own() -> None:
    assert {file.package for file in FILES} == {"tfserving"}


@pytest.mark.parametrize("name", sorted(set(MESSAGES) - set(UNPUBLISHED)))
def test_every_field_is_the_published_one(published: dict[str, Any], name: str) -> None:
    theirs = published[name].fields_by_name
    for field in MESSAGES[name].fields:
        assert traits(field) == traits(theirs[field.name]), field.name


@pytest.mark.parametrize("name", sorted(set(ENUMS) - {"HealthCheckResponse.ServingStatus"}))
def test_every_value_is_the_published_one(published: dict[str, Any], name: str) -> None:
    theirs = {value.name: value.number for value in published[name].values}
    for value in ENUMS[name].values:
        assert value.number == theirs[value.name], value.name


def test_the_unpublished_messages_have_the_fields_of_their_sources() -> None:
    scalars = {3: "int64", 8: "bool", 9: "string"}
    for name, fields in UNPUBLISHED.items():
        assert {
            field.name: (
                field.number,
                own_name(kind)
                if (kind := field.message_type or field.enum_type)
                else scalars[field.type],
                field.is_repeated,
            )
            for field in MESSAGES[name].fields
        } == fields
    status = ENUMS["HealthCheckResponse.ServingStatus"]
    assert {value.name: value.number for value in status.values} == SERVING_STATUS


PREDICT_TEXT = """
model_spec { name: "m" version { value: 3 } signature_name: "prompt" }
inputs {
  key: "prompt"
  value { dtype: DT_STRING tensor_shape { dim { size: 1 } } string_val: "a star" }
}
inputs {
  key: "guidance_scale"
  value { dtype: DT_FLOAT tensor_shape { dim { size: 2 } } float_val: 1.5 float_val: -2 }
}
output_filter: "image_bytes"
"""


def test_both_packages_read_each_others_bytes_and_text_in_one_process() -> None:
    from tensorflow_serving.apis import predict_pb2

    from tfserving.predict_pb2 import PredictRequest

    ours: Any = text_format.Parse(PREDICT_TEXT, PredictRequest())
    theirs: Any = text_format.Parse(PREDICT_TEXT, predict_pb2.PredictRequest())
    assert PredictRequest.FromString(theirs.SerializeToString()) == ours
    assert predict_pb2.PredictRequest.FromString(ours.SerializeToString()) == theirs
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(
        deterministic=True
    )
    assert json_format.MessageToDict(ours) == json_format.MessageToDict(theirs)


def test_a_field_that_is_not_declared_is_kept() -> None:
    """A signature may have inputs that only TensorFlow's own message describes."""
    from tensorflow.core.protobuf import meta_graph_pb2

    from tfserving.model_metadata_pb2 import SignatureDef

    theirs = meta_graph_pb2.SignatureDef(method_name="m")
    theirs.inputs["x"].coo_sparse.values_tensor_name = "values:0"
    ours = SignatureDef.FromString(theirs.SerializeToString())
    assert meta_graph_pb2.SignatureDef.FromString(ours.SerializeToString()) == theirs


def test_a_type_that_is_not_declared_is_kept() -> None:
    from tensorflow.core.framework import tensor_pb2, types_pb2

    from tfserving.tensor_pb2 import TensorProto

    theirs = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT8_E5M2, float8_val=b"\1")
    ours = TensorProto.FromString(theirs.SerializeToString())
    assert ours.dtype == types_pb2.DT_FLOAT8_E5M2
    assert tensor_pb2.TensorProto.FromString(ours.SerializeToString()) == theirs
