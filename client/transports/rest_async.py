"""TF Serving's REST API for `asyncio`, as `rest` is for threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from client.transports.keep_alive import KEEP_ALIVE
from client.transports.rest_messages import (
    CONNECT_TIMEOUT_SECONDS,
    MAX_ANSWER_BYTES,
    Reply,
    RestMessages,
    retry_after_seconds,
)
from prediction.answer import Answer
from prediction.description import Answers
from prediction.endpoints import Protocol, is_loopback, normalize_endpoint, not_an_endpoint
from prediction.errors import ClientError
from prediction.failures import Failures, NotServedError, causes_of, reason_in
from prediction.limits import PictureRequest
from prediction.model_status import STATUS_TIMEOUT_SECONDS, ModelStatus
from prediction.tls import accepts_tls_async, greeting, is_wrong_protocol, trusted

T = TypeVar("T")


class AsyncRestTransport:
    """One server's REST API. Connections are kept alive, one per concurrent request."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self.endpoint = normalize_endpoint(endpoint, Protocol.REST)
        self._fail = Failures(self.endpoint, model_name)
        self._messages = RestMessages(self.endpoint, model_name)
        verify = trusted() if self.endpoint.startswith("https:") else False
        # How many requests are in flight is the caller's business.
        limits = httpx.Limits(max_connections=None)
        self._http = httpx.AsyncClient(
            # A proxy from the environment cannot reach this machine's loopback.
            trust_env=not is_loopback(self.endpoint),
            # For a proxy, if there is one; the transport is for direct connections.
            verify=verify,
            limits=limits,
            transport=httpx.AsyncHTTPTransport(
                verify=verify, limits=limits, socket_options=KEEP_ALIVE
            ),
        )

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
            await self._exchange("GET", self._messages.status_url, timeout_seconds)
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def _predict(
        self, body: dict[str, Any], meaning: Callable[[Reply], T], timeout_seconds: float
    ) -> T:
        reply = await self._exchange("POST", self._messages.predict_url, timeout_seconds, body)
        try:
            return meaning(reply)
        except NotServedError as refusal:
            raise self._fail.explained(refusal, await self._status_or_error()) from None

    async def _status_or_error(self) -> ModelStatus | ClientError:
        try:
            return await self.model_status()
        except ClientError as error:
            return error

    async def _exchange(
        self, method: str, url: str, timeout_seconds: float, body: dict[str, Any] | None = None
    ) -> Reply:
        """One exchange, which takes at most `timeout_seconds`. If it is cancelled, its connection
        is closed.
        """
        if self._http.is_closed:
            raise self._fail.closed()
        connect_seconds = min(CONNECT_TIMEOUT_SECONDS, timeout_seconds)
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._http.stream(
                    method, url, json=body, timeout=httpx.Timeout(None, connect=connect_seconds)
                ) as response,
            ):
                return Reply(
                    response.status_code,
                    await self._read(response),
                    retry_after_seconds(response.headers),
                )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise not_an_endpoint(self.endpoint) from None
        except httpx.ConnectTimeout:
            raise self._fail.not_connected_in_time() from None
        except (TimeoutError, httpx.TimeoutException):
            raise self._fail.timed_out(timeout_seconds) from None
        except httpx.ConnectError as error:
            raise self._not_connected(error) from error
        except httpx.HTTPError as error:
            raise await self._lost(error) from error

    async def _read(self, response: httpx.Response) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise self._fail.too_long(MAX_ANSWER_BYTES)
        return bytes(content)

    def _not_connected(self, error: BaseException) -> ClientError:
        """The exception for a connection that was not made."""
        import socket
        import ssl

        causes = causes_of(error)
        reason = reason_in(causes)
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            if is_wrong_protocol(reason):
                return self._fail.speaks_no_tls()
            return self._fail.not_trusted(reason)
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return self._fail.unreachable(reason)
        return self._fail.not_connected(reason)

    async def _lost(self, error: BaseException) -> ClientError:
        """The exception for an exchange that ended without a response."""
        if self.endpoint.startswith("http:"):
            first = await greeting(self.endpoint)
            if first and not first.startswith(b"HTTP/1"):
                return self._messages.not_http(first)
            if not first and await accepts_tls_async(self.endpoint):
                return self._fail.speaks_tls()
        return self._fail.lost(reason_in(causes_of(error)))
