"""The web service's job API for `asyncio`, as `web` is for threads."""

from __future__ import annotations

from typing import TypeVar

from client.transports.http_connections_async import AsyncHttpConnections
from client.transports.web_jobs import Conversation, WebJobs, asked_for_web_service
from client.transports.web_messages import WebMessages
from prediction.answer import Answer
from prediction.description import Answers
from prediction.endpoints import Protocol, normalize_endpoint
from prediction.limits import PictureRequest
from prediction.model_status import STATUS_TIMEOUT_SECONDS, ModelStatus

T = TypeVar("T")


class AsyncWebTransport:
    """One web service. Made and used in one event loop."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self.endpoint = normalize_endpoint(endpoint, Protocol.WEB)
        self._messages = WebMessages(self.endpoint, model_name)
        self._jobs = WebJobs(self._messages)
        self._http = AsyncHttpConnections(self.endpoint, self._messages.fail, self._messages.key)

    async def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        """As `WebTransport.predict`. If the task is cancelled, so is the job."""
        return await self._result(self._jobs.drawn(request, timeout_seconds))

    async def describe(self, timeout_seconds: float) -> Answers:
        return await self._result(self._jobs.described(timeout_seconds))

    async def model_status(self, timeout_seconds: float = STATUS_TIMEOUT_SECONDS) -> ModelStatus:
        return await self._result(self._jobs.model_status(timeout_seconds))

    async def is_there(self, timeout_seconds: float) -> bool | None:
        """As `asked_for_web_service`."""
        return await self._result(asked_for_web_service(self._messages, timeout_seconds))

    async def close(self) -> None:
        """Jobs that are still waited for are cancelled."""
        await self._result(self._jobs.all_cancelled())
        await self._http.close()

    async def _result(self, conversation: Conversation[T]) -> T:
        try:
            call = next(conversation)
            while True:
                try:
                    reply = await self._http.exchange(
                        call.method, call.path, call.timeout_seconds, call.body
                    )
                except BaseException as error:
                    call = conversation.throw(error)
                else:
                    call = conversation.send(reply)
        except StopIteration as end:
            return end.value
