"""TF Serving's gRPC API for `asyncio`, as `rpc` is for threads."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from prediction.answer import Advanced, Answer, Begun
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
from prediction.tls import accepts_tls_async


class AsyncGrpcTransport:
    """One server's gRPC API, on one channel. Made and used in one event loop."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        from grpc import aio

        self.endpoint = normalize_endpoint(endpoint, Protocol.GRPC)
        self._fail = RpcFailures(self.endpoint, model_name)
        self._messages = RpcMessages(self.endpoint, model_name)
        self._channel = aio.insecure_channel(
            urlsplit(self.endpoint).netloc,
            options=channel_options(self.endpoint, MAX_ANSWER_BYTES),
        )

    async def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        message = self._messages.predict_message(request)
        return self._messages.answer(await self._predict(message, timeout_seconds))

    async def begin(self, request: PictureRequest, timeout_seconds: float) -> Begun:
        message = self._messages.begin_message(request)
        return self._messages.begun(await self._predict(message, timeout_seconds))

    async def advance(
        self, state: bytes, context: bytes, steps: int, timeout_seconds: float
    ) -> Advanced:
        message = self._messages.advance_message(state, context, steps)
        return self._messages.advanced(await self._predict(message, timeout_seconds))

    async def finish(self, state: bytes, timeout_seconds: float) -> bytes:
        message = self._messages.finish_message(state)
        return self._messages.finished(await self._predict(message, timeout_seconds))

    async def describe(self, timeout_seconds: float) -> Answers:
        message = self._messages.describe_message()
        try:
            text = self._messages.description(await self._predict(message, timeout_seconds))
        except ClientError as error:
            return [(self.endpoint, error)]
        return [(self.endpoint, text)]

    async def model_status(self, timeout_seconds: float = STATUS_TIMEOUT_SECONDS) -> ModelStatus:
        try:
            content = await self._call(STATUS, self._messages.status_message(), timeout_seconds)
        except grpc.RpcError as error:
            raise self._fail.status_failure(error, timeout_seconds) from None
        return self._messages.model_status(content)

    async def wait_for_loss(self) -> None:
        """Until there is no connection: it was lost, or never made."""
        channel: Any = self._channel
        while (state := channel.get_state()) is grpc.ChannelConnectivity.READY:
            await channel.wait_for_state_change(state)

    async def close(self) -> None:
        await self._channel.close()

    async def _predict(self, message: bytes, timeout_seconds: float) -> bytes:
        deadline = time.monotonic() + timeout_seconds
        try:
            return await self._call(PREDICT, message, timeout_seconds)
        except grpc.RpcError as error:
            failure = self._fail.predict_failure(
                error, timeout_seconds, in_time=time.monotonic() < deadline
            )
            if isinstance(failure, NotServedError):
                failure = self._fail.explained(failure, await self._status_or_error())
            raise failure from None

    async def _status_or_error(self) -> ModelStatus | ClientError:
        try:
            return await self.model_status()
        except ClientError as error:
            return error

    async def _call(self, method: str, message: bytes, timeout_seconds: float) -> bytes:
        """One call. If the task is cancelled, so is the call."""
        from grpc import aio

        channel: Any = self._channel
        try:
            return await channel.unary_unary(method)(message, timeout=timeout_seconds)
        except grpc.RpcError as error:
            if ended_at_once(error) and await accepts_tls_async(self.endpoint):
                raise self._fail.speaks_tls() from None
            raise
        except aio.UsageError:
            raise self._fail.closed() from None
