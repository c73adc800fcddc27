"""Fuzzing gRPC: any message or bytes get a response or a clean status."""

from __future__ import annotations

import socket
from typing import Any

import grpc
from hypothesis import strategies as st

from tests.devserver import http2
from tests.devserver.fuzzing import assert_no_leak, assert_unharmed, fuzz, tries
from tests.devserver.processes import NAME, Server

PREDICTION, MODEL = "/tensorflow.serving.PredictionService/", "/tensorflow.serving.ModelService/"
METHODS = [
    *(PREDICTION + name for name in ("Predict", "GetModelMetadata", "Classify", "MultiInference")),
    *(MODEL + name for name in ("GetModelStatus", "HandleReloadConfigRequest")),
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/no.such.Service/Call",
]
REFUSALS = {
    *(grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED),
    *(grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INTERNAL),
}
ALIASES = ["x", "text", "times", "pixels", "integer", "flag", "real", "y", ""]
# Up to 2**10, one value may fill a whole tensor; the others are refused.
SIZES = [0, 1, 1, 2, 3, -1, -(2**63), 2**10, 2**23, 2**28, 2**40, 2**62]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "float_val": st.floats(width=32),
    "double_val": st.floats(),
    "int_val": st.integers(-(2**31), 2**31 - 1),
    "string_val": st.binary(max_size=8),
    "int64_val": st.integers(-(2**63), 2**63 - 1),
    "bool_val": st.booleans(),
    "half_val": st.integers(-(2**31), 2**31 - 1),
    "uint32_val": st.integers(0, 2**32 - 1),
    "uint64_val": st.integers(0, 2**64 - 1),
    "scomplex_val": st.floats(width=32),
    "dcomplex_val": st.floats(),
}
FIELD_OF = {1: "float_val", 3: "int_val", 4: "int_val", 7: "string_val", 9: "int64_val"}


@st.composite
def tensors(draw: st.DrawFn) -> Any:
    """A TensorProto; type, shape and values fit each other now and then."""
    from tensorflow.core.framework import tensor_pb2

    dtype = draw(st.sampled_from([*FIELD_OF, 2, 10, 14, 19]) | st.integers(0, 130))
    message = tensor_pb2.TensorProto(dtype=dtype)
    message.tensor_shape.unknown_rank = draw(st.integers(0, 9)) == 0
    for size in draw(st.just([1]) | st.lists(st.sampled_from(SIZES), max_size=3)):
        message.tensor_shape.dim.add(size=size)
    field = draw(st.just(FIELD_OF.get(dtype, "float_val")) | st.sampled_from(sorted(VALUES)))
    getattr(message, field).extend(draw(st.lists(VALUES[field], max_size=4)))
    if draw(st.integers(0, 4)) == 0:
        message.tensor_content = draw(st.binary(max_size=16))
    return message


@st.composite
def predict_requests(draw: st.DrawFn) -> bytes:
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    spec = request.model_spec
    spec.name = draw(st.sampled_from([NAME] * 8 + ["", "other"]))
    spec.signature_name = draw(
        st.sampled_from(["", "text", "checked", "scalars", "total", "half_floats", "none"])
    )
    match draw(st.integers(0, 9)):
        case 0:
            spec.version.value = draw(st.integers(-(2**63), 2**63 - 1))
        case 1:
            spec.version_label = draw(st.text(max_size=5))
        case _:
            pass
    for alias in draw(st.just(["x"]) | st.lists(st.sampled_from(ALIASES), max_size=3)):
        request.inputs[alias].CopyFrom(draw(tensors()))
    request.output_filter.extend(draw(st.lists(st.sampled_from(["y", "length", ""]), max_size=2)))
    return request.SerializeToString()


@st.composite
def fitting_requests(draw: st.DrawFn) -> bytes:
    """Requests for the default signature, with any numbers."""
    from tensorflow_serving.apis import predict_pb2

    values = draw(st.lists(st.floats(width=32), min_size=1, max_size=4))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    tensor = request.inputs["x"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add(size=len(values))
    tensor.float_val.extend(values)
    return request.SerializeToString()


@st.composite
def torn(draw: st.DrawFn) -> bytes:
    """A message with some bytes cut out and others put in."""
    message = draw(predict_requests())
    start = draw(st.integers(0, len(message)))
    return (
        message[:start] + draw(st.binary(max_size=4)) + message[start + draw(st.integers(0, 4)) :]
    )


@tries(600, long=20_000)
def test_any_predict_request_gets_a_response_or_a_clean_status(server: Server, count: int) -> None:
    from tensorflow_serving.apis import predict_pb2

    with grpc.insecure_channel(
        server.grpc_address, [("grpc.max_receive_message_length", -1)]
    ) as channel:
        predict = channel.unary_unary(PREDICTION + "Predict")
        codes: set[Any] = set()

        def check(request: bytes) -> None:
            try:
                answer = predict_pb2.PredictResponse.FromString(predict(request, timeout=60))
            except grpc.RpcError as error:
                refusal: Any = error
                codes.add(refusal.code())
                assert refusal.code() in REFUSALS - {grpc.StatusCode.INTERNAL}, refusal.details()
                assert_no_leak(refusal.details())
            else:
                assert answer.model_spec.version.value == 123
                assert answer.outputs
                codes.add(grpc.StatusCode.OK)

        fuzz(predict_requests() | fitting_requests(), count, check)
        assert {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT} <= codes
    assert_unharmed(server)


@tries(300, long=20_000)
def test_any_bytes_to_any_method_get_a_response_or_a_clean_status(
    server: Server, count: int
) -> None:
    with grpc.insecure_channel(
        server.grpc_address, [("grpc.max_receive_message_length", -1)]
    ) as channel:

        def check(request: tuple[str, bytes]) -> None:
            method, message = request
            try:
                channel.unary_unary(method)(message, timeout=60)
            except grpc.RpcError as error:
                refusal: Any = error
                assert refusal.code() in REFUSALS, refusal.details()
                assert_no_leak(refusal.details())

        fuzz(st.tuples(st.sampled_from(METHODS), torn() | st.binary(max_size=60)), count, check)
    assert_unharmed(server)


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.ports[0]), timeout=20)


calls = st.builds(
    http2.call,
    st.sampled_from([*METHODS, "/", "", "Predict"]),
    torn() | st.binary(max_size=60),
    st.none() | st.integers(0, 200) | st.sampled_from([2**31, 2**32 - 1]),
    st.sampled_from([0, 0, 1, 255]),
)


@tries(150, long=10_000)
def test_a_call_with_a_false_length_prefix_is_ended(server: Server, count: int) -> None:
    def check(sent: bytes) -> None:
        with connect(server) as connection:
            connection.sendall(sent)
            received: list[http2.Frame] = []
            for frame in http2.frames(connection):
                received.append(frame)
                if http2.is_last(frame):
                    break
            assert received
            assert http2.is_last(received[-1]), received
            for frame in received:
                assert_no_leak(frame.payload.decode("latin-1"))

    fuzz(calls, count, check)
    assert_unharmed(server)


@tries(150, long=10_000)
def test_any_bytes_on_the_wire_end_the_connection(server: Server, count: int) -> None:
    def check(sent: bytes) -> None:
        with connect(server) as connection:
            try:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass

    frames = st.builds(
        http2.Frame,
        st.integers(0, 12),
        st.integers(0, 255),
        st.sampled_from([0, 1, 2, 2**31 - 1]),
        st.binary(max_size=40),
    )
    broken = st.lists(frames, max_size=4).map(lambda f: http2.PREFACE + b"".join(map(bytes, f)))
    fuzz(st.binary(max_size=100) | broken, count, check)
    assert_unharmed(server)
