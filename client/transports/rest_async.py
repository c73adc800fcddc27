"""TF Serving's REST API for `asyncio`, as `rest` is for threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from client.transports.http_connections_async import AsyncHttpConnections
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


class AsyncRestTransport:
    """One server's REST API. Made and used in one event loop."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self.endpoint = normalize_endpoint(endpoint, Protocol.REST)
        self._fail = Failures(self.endpoint, model_name)
        self._messages = RestMessages(self.endpoint, model_name)
        self._http = AsyncHttpConnections(self.endpoint, self._fail)

    async def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        body = self._messages.predict_body(request)
        return await self._predict(body, self._messages.answer, timeout_seconds)

    async def describe(self, timeout_seconds: float) -> Answers:
        body = self._messages.describe_body()
        try:
            text = await self._predict(body, self._messages.description, timeout_seconds)
        except ClientError as error:
            return [(self.endpoint, error)]
        return [(self.endpoint, text)]

    async def model_status(self, timeout_seconds: float = STATUS_TIMEOUT_SECONDS) -> ModelStatus:
        return self._messages.model_status(
            await self._http.exchange("GET", self._messages.status_path, timeout_seconds)
        )

    async def close(self) -> None:
        await self._http.close()

    async def _predict(
        self, body: dict[str, Any], meaning: Callable[[Reply], T], timeout_seconds: float
    ) -> T:
        reply = await self._http.exchange(
            "POST", self._messages.predict_path, timeout_seconds, body
        )
        try:
            return meaning(reply)
        except NotServedError as refusal:
            raise self._fail.explained(refusal, await self._status_or_error()) from None

    async def _status_or_error(self) -> ModelStatus | ClientError:
        try:
            return await self.model_status()
        except ClientError as error:
            return error
