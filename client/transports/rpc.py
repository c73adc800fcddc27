"""TF Serving's gRPC API: one row to Predict and back, and the model's status.

Results and errors are those of REST. One difference is the server's: its own request timeout
applies to REST only, so over gRPC the client's timeout is the only limit.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its C core would write to standard error

import grpc
from google.protobuf.message import DecodeError, Message

from client.errors import ClientError, UnreachableError, one_line
from client.limits import PictureRequest
from client.pictures import png
from client.transports.endpoints import Protocol, is_loopback, normalize_endpoint
from client.transports.failures import Failures
from client.transports.transport import STATUS_TIMEOUT_SECONDS, Answer, ModelStatus, model_status_of
from tfserving.model_status_pb2 import (
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelVersionStatus,
)
from tfserving.predict_pb2 import PredictRequest, PredictResponse
from tfserving.tensor_pb2 import (
    DT_BOOL,
    DT_FLOAT,
    DT_INT32,
    DT_INT64,
    DT_STRING,
    DataType,
    TensorProto,
)

MAX_ANSWER_BYTES = 64 * 2**20
_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"

_VALUE_FIELDS = {
    DT_FLOAT: "float_val",
    DT_INT32: "int_val",
    DT_STRING: "string_val",
    DT_INT64: "int64_val",
    DT_BOOL: "bool_val",
}
_CONTENT_FORMATS = {DT_INT32: "<i", DT_INT64: "<q", DT_BOOL: "<?"}
"""How a server with --enable_serialization_as_tensor_content writes one number."""

_STATES = {int(number): name for name, number in ModelVersionStatus.State.items()}


class GrpcTransport:
    """One server's gRPC API, on one channel."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self.endpoint = normalize_endpoint(endpoint, Protocol.GRPC)
        self._model_name = model_name
        self._fail = Failures(self.endpoint, model_name)
        self._channel = grpc.insecure_channel(
            urlsplit(self.endpoint).netloc,
            options=[
                ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
                # A proxy from the environment cannot reach this machine's loopback.
                ("grpc.enable_http_proxy", int(not is_loopback(self.endpoint))),
            ],
        )

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        message = PredictRequest()
        message.model_spec.name = self._model_name
        message.model_spec.signature_name = "serving_default"
        for alias, dtype, value in (
            ("prompt", DT_STRING, request.prompt.encode()),
            ("negative_prompt", DT_STRING, request.negative_prompt.encode()),
            ("num_steps", DT_INT32, request.num_steps),
            ("guidance_scale", DT_FLOAT, request.guidance_scale),
            ("seed", DT_INT64, request.seed),
        ):
            tensor = message.inputs[alias]
            tensor.dtype = dtype
            tensor.tensor_shape.dim.add(size=1)
            getattr(tensor, _VALUE_FIELDS[dtype]).append(value)
        deadline = time.monotonic() + timeout_seconds
        try:
            content = self._call(_PREDICT, message, timeout_seconds)
        except grpc.RpcError as error:
            if _code(error) is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise self._failure(error) from None
            if time.monotonic() >= deadline:
                raise self._fail.timed_out(timeout_seconds) from None
            raise self._fail.given_up(_message(error), _code(error).name) from None
        return self._answer(content)

    def model_status(self, timeout_seconds: float = STATUS_TIMEOUT_SECONDS) -> ModelStatus:
        message = GetModelStatusRequest()
        message.model_spec.name = self._model_name
        try:
            content = self._call(_STATUS, message, timeout_seconds)
        except grpc.RpcError as error:
            match code := _code(error):
                case grpc.StatusCode.NOT_FOUND:
                    raise self._fail.model_not_found(_message(error), code.name) from None
                case grpc.StatusCode.UNAVAILABLE:
                    raise self._fail.unreachable(_cause(error)) from None
                case grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise self._fail.timed_out(timeout_seconds) from None
                case _:
                    raise self._unexpected(f"{code.name} to a status request", error) from None
        try:
            answer = GetModelStatusResponse.FromString(content)
            return model_status_of(
                [
                    (entry.version, _STATES.get(entry.state, ""), entry.status.error_message)
                    for entry in answer.model_version_status
                ]
            )
        except (DecodeError, ValueError):
            raise self._fail.unexpected("no model status", f"{len(content)} bytes") from None

    def close(self) -> None:
        self._channel.close()

    def _call(self, method: str, message: Message, timeout_seconds: float) -> bytes:
        channel: Any = self._channel
        call: Callable[..., bytes] = channel.unary_unary(method)
        try:
            return call(message.SerializeToString(), timeout=timeout_seconds)
        except ValueError:
            raise UnreachableError(f"the client of {self.endpoint} is closed") from None

    def _answer(self, content: bytes) -> Answer:
        try:
            # A dict: a protobuf map makes an entry for a key that is missing.
            row = dict(PredictResponse.FromString(content).outputs)
            image = _value(row["image_bytes"], DT_STRING)
            png.check(image)
            return Answer(
                png=image,
                seed=_value(row["seed"], DT_INT64),
                num_steps=_value(row["num_steps"], DT_INT32),
                prompt_tokens=_value(row["prompt_tokens"], DT_INT32),
                truncated=_value(row["truncated"], DT_BOOL),
                fingerprint=one_line(_value(row["fingerprint"], DT_STRING).decode()),
                endpoint=self.endpoint,
            )
        except (DecodeError, ValueError, LookupError, TypeError, struct.error):
            raise self._fail.unexpected(
                "no picture", f"{len(content)} bytes", grpc.StatusCode.OK.name
            ) from None

    def _failure(self, error: grpc.RpcError) -> ClientError:
        """The exception for a failed call."""
        message, code = _message(error), _code(error)
        match code:
            case (
                grpc.StatusCode.INVALID_ARGUMENT
                | grpc.StatusCode.FAILED_PRECONDITION
                | grpc.StatusCode.OUT_OF_RANGE
            ):
                return self._fail.refused(message, code.name)
            case grpc.StatusCode.RESOURCE_EXHAUSTED:
                if "CLIENT: Received message larger than max" in message:
                    return self._fail.too_long(MAX_ANSWER_BYTES)
                return self._fail.full(message, code.name)
            case grpc.StatusCode.NOT_FOUND | grpc.StatusCode.UNAVAILABLE:
                # A failed connection is UNAVAILABLE as well: then the status request fails too.
                return self._fail.not_served(
                    message,
                    code.name,
                    name_is_known=code is grpc.StatusCode.UNAVAILABLE,
                    model_status=self.model_status,
                )
            case _:
                return self._unexpected(code.name, error)

    def _unexpected(self, what: str, error: grpc.RpcError) -> ClientError:
        return self._fail.unexpected(what, _message(error), _code(error).name)


def _value(tensor: TensorProto, dtype: DataType) -> Any:
    """The one element of a tensor of this type. Raises ValueError otherwise."""
    if tensor.dtype != dtype:
        raise ValueError(f"a tensor of type {tensor.dtype}, not {dtype}")
    if tensor.tensor_content and dtype in _CONTENT_FORMATS:
        (value,) = struct.unpack(_CONTENT_FORMATS[dtype], tensor.tensor_content)
    else:
        (value,) = getattr(tensor, _VALUE_FIELDS[dtype])
    return value


def _code(error: Any) -> grpc.StatusCode:
    return error.code()


def _message(error: Any) -> str:
    return one_line(error.details() or "") or "no reason given"


def _cause(error: grpc.RpcError) -> str:
    """The last part of gRPC's chain of causes, such as `Connection refused`."""
    return _message(error).rpartition(": ")[2].strip("[] ").lower()
