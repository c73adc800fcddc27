"""What a message may take is known before it is parsed; a picture's state takes little."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from devserver.memory import BUDGET_BYTES
from devserver.rpc.calls import MAX_MESSAGE_BYTES
from devserver.rpc.message_memory import (
    LONG_STRING_BYTES,
    MAX_FIELDS,
    STRING_FACTOR,
    VALUE_FACTOR,
    message_memory,
)
from tests.devserver.processes import Server
from tests.devserver.rpc.test_rpc import predict_request
from tfserving.predict_pb2 import PredictRequest

LARGEST_STATE_BYTES = 24_000_000
"""sd14's at 768 px in the profile `fast`: 2 x 96 x 96 x 320 float32, and the latents."""


def with_strings(*values: bytes) -> PredictRequest:
    request = PredictRequest()
    request.model_spec.name = "a name"
    tensor = request.inputs["state"]
    tensor.dtype = 7  # type: ignore[assignment]
    tensor.tensor_shape.dim.add(size=len(values))
    tensor.string_val.extend(values)
    return request


def test_long_strings_count_less_than_small_values() -> None:
    long = 3 * LONG_STRING_BYTES
    message = with_strings(b"short", bytes(long), bytes(long)).SerializeToString()
    rest = len(message) - 2 * long
    assert 0 < rest < 100
    assert message_memory(message) == VALUE_FACTOR * rest + STRING_FACTOR * 2 * long


@pytest.mark.parametrize(
    "message",
    [
        with_strings(*[b"a"] * LONG_STRING_BYTES).SerializeToString(),
        with_strings(*[b"a"] * MAX_FIELDS, bytes(LONG_STRING_BYTES)).SerializeToString(),
        with_strings(bytes(LONG_STRING_BYTES)).SerializeToString()[:-1],
        PredictRequest(output_filter=["a" * LONG_STRING_BYTES]).SerializeToString(),
        bytes(LONG_STRING_BYTES),
        b"\xff" * LONG_STRING_BYTES,
        b"",
    ],
    ids=["small strings", "many fields", "cut off", "elsewhere", "zeros", "ones", "empty"],
)
def test_anything_else_counts_as_small_values(message: bytes) -> None:
    assert message_memory(message) == VALUE_FACTOR * len(message)


def test_numbers_count_as_small_values() -> None:
    message = predict_request(x=np.zeros(LONG_STRING_BYTES, np.float32)).SerializeToString()
    assert message_memory(message) == VALUE_FACTOR * len(message)


def test_the_largest_message_of_one_string_fits_twice() -> None:
    message = with_strings(bytes(MAX_MESSAGE_BYTES - 100)).SerializeToString()
    assert 2 * message_memory(message) < BUDGET_BYTES


@pytest.mark.slow
def test_the_largest_state_of_a_picture_is_taken(server: Server) -> None:
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    state = np.random.default_rng(1).bytes(LARGEST_STATE_BYTES)
    request = predict_request(text=np.array([state], object), times=np.int32([1]))
    request.model_spec.signature_name = "text"
    request.output_filter.append("echo")
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server.grpc_address, options=options) as channel:
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(
            request, timeout=60
        )
    assert response.outputs["echo"].string_val[0] == state
