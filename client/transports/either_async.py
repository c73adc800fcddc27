"""An HTTP endpoint that does not say what it is, for `asyncio`, as `either` is for threads."""

from __future__ import annotations

import time

from client.transports.rest_async import AsyncRestTransport
from client.transports.transport import AsyncTransport
from client.transports.web_async import AsyncWebTransport
from prediction.answer import Answer
from prediction.description import Answers
from prediction.errors import ClientError
from prediction.limits import PictureRequest, seconds_until
from prediction.model_status import ModelStatus


class AsyncEitherTransport:
    """The web service's transport if that answers, else REST's."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self._web = AsyncWebTransport(endpoint, model_name)
        self._rest = AsyncRestTransport(endpoint, model_name)
        self._found: AsyncTransport | None = None

    @property
    def endpoint(self) -> str:
        return self._rest.endpoint

    async def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        deadline = time.monotonic() + timeout_seconds
        transport = await self._transport(timeout_seconds)
        return await transport.predict(request, seconds_until(deadline))

    async def describe(self, timeout_seconds: float) -> Answers:
        deadline = time.monotonic() + timeout_seconds
        try:
            transport = await self._transport(timeout_seconds)
        except ClientError as error:
            return [(self.endpoint, error)]
        return await transport.describe(seconds_until(deadline))

    async def model_status(self, timeout_seconds: float) -> ModelStatus:
        deadline = time.monotonic() + timeout_seconds
        transport = await self._transport(timeout_seconds)
        return await transport.model_status(seconds_until(deadline))

    async def close(self) -> None:
        await self._web.close()
        await self._rest.close()

    async def _transport(self, timeout_seconds: float) -> AsyncTransport:
        if self._found is None:
            is_web = await self._web.is_there(timeout_seconds)
            if is_web is None:
                return self._rest
            self._found = self._web if is_web else self._rest
        return self._found
