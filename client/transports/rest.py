"""TF Serving's REST API: one row to `:predict` and back, and the model's status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from client.transports.http_connections import HttpConnections
from client.transports.http_messages import Reply
from client.transports.rest_messages import RestMessages
from prediction.answer import Answer
from prediction.description import Answers
from prediction.endpoints import Protocol, normalize_endpoint
from prediction.errors import ClientError
from prediction.failures import Failures, NotServedError
from prediction.limits import PictureRequest
from prediction.model_status import STATUS_TIMEOUT_SECONDS, ModelStatus

T = TypeVar("T")


class RestTransport:
    """One server's REST API."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self.endpoint = normalize_endpoint(endpoint, Protocol.REST)
        self._fail = Failures(self.endpoint, model_name)
        self._messages = RestMessages(self.endpoint, model_name)
        self._http = HttpConnections(self.endpoint, self._fail)

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        body = self._messages.predict_body(request)
        return self._predict(body, self._messages.answer, timeout_seconds)

    def describe(self, timeout_seconds: float) -> Answers:
        body = self._messages.describe_body()
        try:
            text = self._predict(body, self._messages.description, timeout_seconds)
        except ClientError as error:
            return [(self.endpoint, error)]
        return [(self.endpoint, text)]

    def model_status(self, timeout_seconds: float = STATUS_TIMEOUT_SECONDS) -> ModelStatus:
        return self._messages.model_status(
            self._http.exchange("GET", self._messages.status_path, timeout_seconds)
        )

    def close(self) -> None:
        self._http.close()

    def _predict(
        self, body: dict[str, Any], meaning: Callable[[Reply], T], timeout_seconds: float
    ) -> T:
        reply = self._http.exchange("POST", self._messages.predict_path, timeout_seconds, body)
        try:
            return meaning(reply)
        except NotServedError as refusal:
            raise self._fail.explained(refusal, self._status_or_error()) from None

    def _status_or_error(self) -> ModelStatus | ClientError:
        try:
            return self.model_status()
        except ClientError as error:
            return error
