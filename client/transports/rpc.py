"""TF Serving's gRPC API: one row to Predict and back, and the model's status.

It answers and fails as REST does. One difference is the server's: over gRPC the client's timeout
is the only limit, since the server's own request timeout holds for REST alone.
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
from google.protobuf.message import DecodeError

from client.errors import ClientError, UnreachableError, one_line
from client.limits import PictureRequest
from client.pictures import png
from client.transports import rpc_messages
from client.transports.endpoints import Protocol, is_loopback, normalize_endpoint
from client.transports.failures import Failures
from client.transports.transport import STATUS_TIMEOUT_SECONDS, Answer, ModelStatus, model_status_of

MAX_ANSWER_BYTES = 64 * 2**20
_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"

# TensorFlow's types.proto.
_FLOAT, _INT32, _STRING, _INT64, _BOOL = 1, 3, 7, 9, 10
_VALUE_FIELDS = {
    _FLOAT: "float_val",
    _INT32: "int_val",
    _STRING: "string_val",
    _INT64: "int64_val",
    _BOOL: "bool_val",
}
_CONTENT_FORMATS = {_INT32: "<i", _INT64: "<q", _BOOL: "<?"}
"""How a server with --enable_serialization_as_tensor_content writes one number."""

# get_model_status.proto, ModelVersionStatus.State.
_STATES = {10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}


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
                # A company's proxy, found in the environment, cannot reach this machine.
                ("grpc.enable_http_proxy", int(not is_loopback(self.endpoint))),
            ],
        )

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        message = rpc_messages.PredictRequest()
        message.model_spec.name = self._model_name
        message.model_spec.signature_name = "serving_default"
        for alias, dtype, value in (
            ("prompt", _STRING, request.prompt.encode()),
            ("negative_prompt", _STRING, request.negative_prompt.encode()),
            ("num_steps", _INT32, request.num_steps),
            ("guidance_scale", _FLOAT, request.guidance_scale),
            ("seed", _INT64, request.seed),
        ):
            entry = message.inputs.add(key=alias)
            entry.value.dtype = dtype
            entry.value.tensor_shape.dim.add(size=1)
            getattr(entry.value, _VALUE_FIELDS[dtype]).append(value)
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
        message = rpc_messages.GetModelStatusRequest()
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
            answer = rpc_messages.GetModelStatusResponse.FromString(content)
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

    def _call(self, method: str, message: Any, timeout_seconds: float) -> bytes:
        channel: Any = self._channel
        call: Callable[..., bytes] = channel.unary_unary(method)
        try:
            return call(message.SerializeToString(), timeout=timeout_seconds)
        except ValueError:
            raise UnreachableError(f"the connection to {self.endpoint} has been closed") from None

    def _answer(self, content: bytes) -> Answer:
        try:
            answer = rpc_messages.PredictResponse.FromString(content)
            row = {entry.key: entry.value for entry in answer.outputs}
            image = _value(row["image_bytes"], _STRING)
            png.check(image)
            return Answer(
                png=image,
                seed=_value(row["seed"], _INT64),
                num_steps=_value(row["num_steps"], _INT32),
                prompt_tokens=_value(row["prompt_tokens"], _INT32),
                truncated=_value(row["truncated"], _BOOL),
                fingerprint=one_line(_value(row["fingerprint"], _STRING).decode()),
                endpoint=self.endpoint,
            )
        except (DecodeError, ValueError, LookupError, TypeError, struct.error):
            raise self._fail.unexpected(
                "no picture", f"{len(content)} bytes", grpc.StatusCode.OK.name
            ) from None

    def _failure(self, error: grpc.RpcError) -> ClientError:
        """The exception for a call that did not bring a picture."""
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
                # A connection that fails is UNAVAILABLE as well: then so is the status.
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


def _value(tensor: Any, dtype: int) -> Any:
    """The one element of a tensor of this type. Raises ValueError where it is not so."""
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
    """The end of gRPC's chain of reasons, such as `Connection refused`."""
    return _message(error).rpartition(": ")[2].strip("[] ").lower()
