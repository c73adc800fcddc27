"""TF Serving's gRPC API: one row to Predict and back, and the model's status.

Results and errors are those of REST. One difference is the server's: its own request timeout
applies to REST only, so over gRPC the client's timeout is the only limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from prediction.answer import Answer
from prediction.description import Answers
from prediction.endpoints import Protocol, normalize_endpoint
from prediction.errors import ClientError
from prediction.failures import NotServedError
from prediction.limits import PictureRequest
from prediction.model_status import STATUS_TIMEOUT_SECONDS, ModelStatus
from prediction.rpc_failures import RpcFailures, ended_at_once, grpc
from prediction.rpc_messages import (
    MAX_ANSWER_BYTES,
    PREDICT,
    STATUS,
    RpcMessages,
    channel_options,
)
from prediction.tls import accepts_tls


class GrpcTransport:
    """One server's gRPC API, on one channel."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self.endpoint = normalize_endpoint(endpoint, Protocol.GRPC)
        self._fail = RpcFailures(self.endpoint, model_name)
        self._messages = RpcMessages(self.endpoint, model_name)
        self._channel = grpc.insecure_channel(
            urlsplit(self.endpoint).netloc,
            options=channel_options(self.endpoint, MAX_ANSWER_BYTES),
        )

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        message = self._messages.predict_message(request)
        return self._messages.answer(self._predict(message, timeout_seconds))

    def describe(self, timeout_seconds: float) -> Answers:
        message = self._messages.describe_message()
        try:
            text = self._messages.description(self._predict(message, timeout_seconds))
        except ClientError as error:
            return [(self.endpoint, error)]
        return [(self.endpoint, text)]

    def model_status(self, timeout_seconds: float = STATUS_TIMEOUT_SECONDS) -> ModelStatus:
        try:
            content = self._call(STATUS, self._messages.status_message(), timeout_seconds)
        except grpc.RpcError as error:
            raise self._fail.status_failure(error, timeout_seconds) from None
        return self._messages.model_status(content)

    def close(self) -> None:
        self._channel.close()

    def _predict(self, message: bytes, timeout_seconds: float) -> bytes:
        deadline = time.monotonic() + timeout_seconds
        try:
            return self._call(PREDICT, message, timeout_seconds)
        except grpc.RpcError as error:
            failure = self._fail.predict_failure(
                error, timeout_seconds, in_time=time.monotonic() < deadline
            )
            if isinstance(failure, NotServedError):
                failure = self._fail.explained(failure, self._status_or_error())
            raise failure from None

    def _status_or_error(self) -> ModelStatus | ClientError:
        try:
            return self.model_status()
        except ClientError as error:
            return error

    def _call(self, method: str, message: bytes, timeout_seconds: float) -> bytes:
        channel: Any = self._channel
        call: Callable[..., bytes] = channel.unary_unary(method)
        try:
            return call(message, timeout=timeout_seconds)
        except grpc.RpcError as error:
            if ended_at_once(error) and accepts_tls(self.endpoint):
                raise self._fail.speaks_tls() from None
            raise
        except ValueError:
            raise self._fail.closed() from None
