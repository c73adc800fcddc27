"""gRPC over real sockets, with the published messages and stubs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from tests.devserver.processes import NAME, Server


@pytest.fixture(scope="session")
def channel(server: Server) -> Iterator[grpc.Channel]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc_address, options=options) as made:
        yield made


@pytest.fixture(scope="session")
def stub(channel: grpc.Channel) -> Any:
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="session")
def model_service(channel: grpc.Channel) -> Any:
    from tensorflow_serving.apis import model_service_pb2_grpc

    return model_service_pb2_grpc.ModelServiceStub(channel)


def predict_request(signature: str = "", name: str = NAME, **inputs: Any) -> Any:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return request


def arrays(response: Any) -> dict[str, Any]:
    import tensorflow as tf

    return {name: tf.make_ndarray(value).tolist() for name, value in response.outputs.items()}


def refusal(call: Any, request: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=20)
    return caught.value.code().name, caught.value.details()


def test_a_prediction_names_model_version_and_signature(stub: Any) -> None:
    response = stub.Predict(predict_request(x=np.float32([2.0])), timeout=20)
    assert arrays(response) == {"y": [3.0]}
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (NAME, 123, "serving_default")


def test_outputs_come_in_typed_fields(stub: Any) -> None:
    request = predict_request("text", text=["ab", "c"], times=np.int32([2, 3]))
    response = stub.Predict(request, timeout=20)
    assert list(response.outputs["image_bytes"].string_val) == [b"abab", b"ccc"]
    assert list(response.outputs["length"].int_val) == [4, 3]
    assert list(response.outputs["long"].bool_val) == [False, True]
    pixels = stub.Predict(predict_request("checked", pixels=np.uint8([[1, 255]])), timeout=20)
    assert list(pixels.outputs["pixels"].int_val) == [2, 0]
    halves = stub.Predict(predict_request("half_floats", x=np.float32([1, 2])), timeout=20)
    assert arrays(halves) == {"y": [1.0, 2.0]}
    assert len(halves.outputs["y"].half_val) == 2


def test_scalars_are_accepted_and_returned(stub: Any) -> None:
    request = predict_request(
        "scalars", integer=np.int64(7), flag=np.bool_(False), real=np.float64(3)
    )
    assert arrays(stub.Predict(request, timeout=20)) == {"integer": 7, "flag": True, "real": 1.0}


def test_an_output_filter_selects_outputs(stub: Any) -> None:
    request = predict_request("text", text=["a"], times=np.int32([1]))
    request.output_filter.append("length")
    assert arrays(stub.Predict(request, timeout=20)) == {"length": [1]}


def test_an_input_with_a_default_may_be_left_out(stub: Any) -> None:
    response = stub.Predict(predict_request("with_default", text=["ab"]), timeout=20)
    assert arrays(response)["length"] == [4]


def with_filter(*aliases: str) -> Any:
    request = predict_request(x=np.float32([1]))
    request.output_filter.extend(aliases)
    return request


def with_label() -> Any:
    request = predict_request(x=np.float32([1]))
    request.model_spec.version_label = "stable"
    return request


def with_version(version: int) -> Any:
    request = predict_request(x=np.float32([1]))
    request.model_spec.version.value = version
    return request


def with_broken_tensor(**shape: Any) -> Any:
    request = predict_request(x=np.float32([1]))
    message = request.inputs["x"].tensor_shape
    message.Clear()
    for size in shape.get("sizes", ()):
        message.dim.add(size=size)
    message.unknown_rank = shape.get("unknown_rank", False)
    if "content" in shape:
        request.inputs["x"].float_val[:] = []
        request.inputs["x"].tensor_content = shape["content"]
    return request


REFUSALS = [
    (lambda: predict_request(name=""), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    (lambda: predict_request(name="other"), "NOT_FOUND", "Servable not found for request: Latest"),
    (lambda: with_version(5), "NOT_FOUND", f"Servable not found for request: Specific({NAME}, 5)"),
    (with_label, "INVALID_ARGUMENT", "Unrecognized servable version label: stable"),
    (
        lambda: predict_request("none"),
        "FAILED_PRECONDITION",
        'Serving signature key "none" not found.',
    ),
    (
        lambda: predict_request("text", text=["a"]),
        "INVALID_ARGUMENT",
        "input size does not match signature: 1!=2 len({text}) != len({text,times}). "
        "Sent extra: {}. Missing but required: {times}.",
    ),
    (
        lambda: predict_request(z=np.float32([1])),
        "INVALID_ARGUMENT",
        "Signature input alias: x(feed name: serving_default_x:0) not found in request",
    ),
    (lambda: with_filter("none"), "INVALID_ARGUMENT", "output tensor alias not found in signature"),
    (lambda: with_filter("y", "y"), "INVALID_ARGUMENT", "duplicate output tensor alias: y"),
    (lambda: with_broken_tensor(sizes=[-1]), "INVALID_ARGUMENT", "tensor parsing error: x"),
    (lambda: with_broken_tensor(unknown_rank=True), "INVALID_ARGUMENT", "tensor parsing error: x"),
    (lambda: with_broken_tensor(sizes=[2**40]), "INVALID_ARGUMENT", "tensor parsing error: x"),
    (lambda: with_broken_tensor(sizes=[2**20] * 8), "INVALID_ARGUMENT", "tensor parsing error: x"),
    (
        lambda: with_broken_tensor(sizes=[2], content=b"abc"),
        "INVALID_ARGUMENT",
        "tensor parsing error: x",
    ),
    (lambda: predict_request(x=np.int32([1])), "INVALID_ARGUMENT", "float"),
    (
        lambda: predict_request("checked", pixels=np.zeros((1, 3), np.uint8)),
        "INVALID_ARGUMENT",
        "[1,3]",
    ),
]


@pytest.mark.parametrize(("make", "code", "message"), REFUSALS)
def test_an_invalid_request_gets_tf_servings_status_and_message(
    stub: Any, make: Any, code: str, message: str
) -> None:
    got_code, details = refusal(stub.Predict, make())
    assert got_code == code, details
    assert message in details


def test_a_request_without_a_model_spec_is_refused(stub: Any, model_service: Any) -> None:
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        predict_pb2,
    )

    for call, request in [
        (stub.Predict, predict_pb2.PredictRequest()),
        (stub.GetModelMetadata, get_model_metadata_pb2.GetModelMetadataRequest()),
        (model_service.GetModelStatus, get_model_status_pb2.GetModelStatusRequest()),
    ]:
        assert refusal(call, request) == ("INVALID_ARGUMENT", "Missing ModelSpec")


def test_a_long_message_is_truncated(stub: Any) -> None:
    _, details = refusal(stub.Predict, predict_request("s" * 3000))
    assert len(details) == 1024 + len("...TRUNCATED")


def test_unsupported_methods_are_unimplemented(stub: Any) -> None:
    from tensorflow_serving.apis import classification_pb2

    code, _ = refusal(stub.Classify, classification_pb2.ClassificationRequest())
    assert code == "UNIMPLEMENTED"


def test_metadata_contains_the_signatures(stub: Any) -> None:
    from tensorflow_serving.apis import get_model_metadata_pb2 as messages

    request = messages.GetModelMetadataRequest()
    request.model_spec.name = NAME
    assert refusal(stub.GetModelMetadata, request) == (
        "INVALID_ARGUMENT",
        "GetModelMetadataRequest must specify at least one metadata_field",
    )
    # The fields are checked before the model is looked up.
    request.metadata_field.append("other")
    request.model_spec.name = "other"
    assert refusal(stub.GetModelMetadata, request) == (
        "INVALID_ARGUMENT",
        "Metadata field other is not supported",
    )
    request.metadata_field[:] = ["signature_def"]
    assert refusal(stub.GetModelMetadata, request)[0] == "NOT_FOUND"
    request.model_spec.name = NAME
    response = stub.GetModelMetadata(request, timeout=20)
    assert response.model_spec.version.value == 123
    signatures = messages.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert "x" in signatures.signature_def["serving_default"].inputs


def test_the_status_shows_the_loaded_version(model_service: Any) -> None:
    from tensorflow_serving.apis import get_model_status_pb2 as messages

    request = messages.GetModelStatusRequest()
    request.model_spec.name = NAME
    (status,) = model_service.GetModelStatus(request, timeout=20).model_version_status
    assert (status.version, status.state) == (123, messages.ModelVersionStatus.AVAILABLE)
    assert status.HasField("status")
    assert status.status.error_code == 0
    request.model_spec.version.value = 5
    assert refusal(model_service.GetModelStatus, request) == (
        "NOT_FOUND",
        f"Could not find version 5 of model {NAME}",
    )


@pytest.mark.parametrize(
    ("service", "answer"), [(b"", b"\x08\x01"), (b"\n\x11PredictionService", b"\x08\x01")]
)
def test_the_health_service_says_serving(
    channel: grpc.Channel, service: bytes, answer: bytes
) -> None:
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(service, timeout=20) == answer


def test_the_health_of_an_unknown_service_is_not_found(channel: grpc.Channel) -> None:
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    assert refusal(check, b"\n\x01x") == ("NOT_FOUND", "unknown service")


def test_a_message_beyond_grpcs_default_limit_is_accepted_and_sent(stub: Any) -> None:
    large = b"x" * 3_000_000
    response = stub.Predict(predict_request("text", text=[large], times=np.int32([2])), timeout=30)
    assert response.outputs["image_bytes"].string_val[0] == large * 2
