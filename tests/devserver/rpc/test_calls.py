"""Calls that stop halfway, messages that are too large, and reflection."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from devserver.errors import ServingError
from devserver.rpc import reflection, tensor_proto
from devserver.rpc.calls import MAX_MESSAGE_BYTES, Calls
from tests.devserver import http2
from tests.devserver.http2 import DATA, END_HEADERS, HEADERS, PREFACE, SETTINGS, Frame
from tests.devserver.processes import NAME, Server
from tests.devserver.rpc.test_rpc import predict_request
from tests.processes import free_ports, wait_until
from tfserving.predict_pb2 import PredictRequest
from tfserving.tensor_pb2 import TensorProto

PREDICT = "/tensorflow.serving.PredictionService/Predict"


def half_sent(path: str, streams: int) -> bytes:
    """A connection's bytes for calls whose messages end too early, and which do not end."""
    frames = [Frame(SETTINGS, 0, 0)]
    for stream in range(1, 2 * streams, 2):
        frames.append(Frame(HEADERS, END_HEADERS, stream, http2.request_headers(path)))
        frames.append(Frame(DATA, 0, stream, bytes([0]) + (1000).to_bytes(4) + b"abc"))
    return PREFACE + b"".join(map(bytes, frames))


def test_100_calls_that_stop_halfway_hold_no_slot(server: Server) -> None:
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    with contextlib.ExitStack() as stack:
        for _ in range(10):
            connection = socket.create_connection(("127.0.0.1", server.ports[0]), timeout=10)
            stack.enter_context(connection).sendall(half_sent(PREDICT, 10))
        channel = stack.enter_context(grpc.insecure_channel(server.grpc_address))
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for _ in range(20):
            response = stub.Predict(predict_request(x=np.float32([2.0])), timeout=20)
            assert list(response.outputs["y"].float_val) == [3.0]


@contextlib.contextmanager
def serving(behaviour: Callable[[Iterator[bytes], grpc.ServicerContext], bytes]) -> Iterator[int]:
    """The port of a server that answers every call so."""

    class Everything(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler:
            return grpc.stream_unary_rpc_method_handler(behaviour)

    (port,) = free_ports(1)
    made = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Everything()])
    made.add_insecure_port(f"127.0.0.1:{port}")
    made.start()
    try:
        yield port
    finally:
        made.stop(0)


def test_a_call_that_stops_halfway_is_cancelled() -> None:
    calls = Calls(1, message_seconds=0.3)
    with serving(calls.receive) as port:
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(half_sent("/a/b", 1))
            last = next(frame for frame in http2.frames(connection) if http2.is_last(frame))
        assert b"grpc-status\x011" in last.payload
        assert 0.2 < time.monotonic() - start < 5
    calls.stop()


def test_a_stop_does_not_wait_for_a_message_that_does_not_come() -> None:
    calls = Calls(1)
    sending = threading.Event()

    def nothing() -> Iterator[bytes]:
        sending.wait(20)
        yield from ()

    with (
        serving(calls.receive) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        call = channel.stream_unary("/a/b").future(nothing())
        wait_until(lambda: bool(calls.incomplete), "the call to begin")
        calls.stop()
        assert call.exception(timeout=10).code() is grpc.StatusCode.CANCELLED
        sending.set()


def test_more_calls_than_slots_are_refused() -> None:
    calls = Calls(1)
    with calls.slot(), pytest.raises(ServingError) as refused, calls.slot():
        pass
    assert refused.value.code.name == "RESOURCE_EXHAUSTED"
    with calls.slot():
        pass
    calls.stop()


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_beyond_the_limit_is_refused(server: Server, compression: Any) -> None:
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc_address, options=options) as channel:
        call = channel.unary_unary(PREDICT)
        with pytest.raises(grpc.RpcError) as refused:
            call(bytes(MAX_MESSAGE_BYTES + 1), timeout=20, compression=compression)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in refused.value.details()
    assert server.predict({"instances": [1]}).status == 200


def test_tensors_that_claim_more_than_the_memory_are_refused(server: Server) -> None:
    request = PredictRequest()
    request.model_spec.name = NAME
    for index in range(40):
        tensor = request.inputs[f"x{index}"]
        tensor.dtype = 1  # type: ignore[assignment]
        tensor.tensor_shape.dim.add(size=tensor_proto.MAX_FILLED_ELEMENTS)
    with (
        grpc.insecure_channel(server.grpc_address) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        channel.unary_unary(PREDICT)(request.SerializeToString(), timeout=20)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "512 MiB" in refused.value.details()


def test_a_shape_of_very_many_sizes_is_refused_at_once() -> None:
    tensor = TensorProto(dtype=1)  # type: ignore[arg-type]
    for _ in range(100_000):
        tensor.tensor_shape.dim.add(size=2**28)
    start = time.monotonic()
    with pytest.raises(ServingError, match="tensor parsing error: x"):
        tensor_proto.decode("x", tensor)
    assert time.monotonic() - start < 5


def test_a_reflection_stream_that_does_not_end_is_cancelled() -> None:
    calls = Calls(1, message_seconds=0.3)
    made = grpc.server(futures.ThreadPoolExecutor(1))
    reflection.enable(made, calls, health=False)
    (port,) = free_ports(1)
    made.add_insecure_port(f"127.0.0.1:{port}")
    made.start()
    silent = threading.Event()

    def nothing() -> Iterator[bytes]:
        silent.wait(20)
        yield from ()

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stream = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )
        with pytest.raises(grpc.RpcError) as ended:
            next(stream(nothing(), timeout=10))
        assert ended.value.code() is grpc.StatusCode.CANCELLED
        silent.set()
        assert len(list(ProtoReflectionDescriptorDatabase(channel).get_services())) == 3
    made.stop(0)
    calls.stop()


def test_a_client_can_predict_with_reflection_alone(server: Server) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert list(database.get_services()) == [
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            "tensorflow.serving.ModelService",
            "tensorflow.serving.PredictionService",
        ]
        pool = descriptor_pool.DescriptorPool(database)
        service: Any = pool.FindServiceByName("tensorflow.serving.PredictionService")
        method = service.FindMethodByName("Predict")
        request: Any = message_factory.GetMessageClass(method.input_type)()
        request.model_spec.name = NAME
        request.inputs["x"].dtype = 1
        request.inputs["x"].float_val.append(2.0)
        request.inputs["x"].tensor_shape.dim.add(size=1)
        answer = channel.unary_unary(PREDICT)(request.SerializeToString(), timeout=20)
        response: Any = message_factory.GetMessageClass(method.output_type).FromString(answer)
        assert list(response.outputs["y"].float_val) == [3.0]
        check = pool.FindMessageTypeByName("grpc.health.v1.HealthCheckResponse")
        assert check.fields_by_name["status"].number == 1
