"""HTTP requests to one server, for `asyncio`."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import httpx

from client.transports.http_messages import (
    CONNECT_TIMEOUT_SECONDS,
    MAX_ANSWER_BYTES,
    Reply,
    not_http,
    retry_after_seconds,
)
from client.transports.keep_alive import KEEP_ALIVE
from prediction.endpoints import is_loopback, not_an_endpoint
from prediction.errors import ClientError
from prediction.failures import Failures, causes_of, reason_in
from prediction.tls import accepts_tls_async, greeting, is_wrong_protocol, trusted


class _BearerAuth(httpx.Auth):
    """Not a header, which a .netrc file would overrule."""

    def __init__(self, key: str) -> None:
        self._value = f"Bearer {key}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        request.headers["Authorization"] = self._value
        yield request


class AsyncHttpConnections:
    """Connections to one server, kept alive, one per concurrent request. For one event loop.

    key: is sent as a bearer token, unless it is empty.
    """

    def __init__(self, endpoint: str, fail: Failures, key: str = "") -> None:
        self.endpoint = endpoint
        self._fail = fail
        verify = trusted() if self.endpoint.startswith("https:") else False
        # How many requests are in flight is the caller's business.
        limits = httpx.Limits(max_connections=None)
        self._http = httpx.AsyncClient(
            # A proxy from the environment cannot reach this machine's loopback.
            trust_env=not is_loopback(self.endpoint),
            auth=_BearerAuth(key) if key else None,
            # For a proxy, if there is one; the transport is for direct connections.
            verify=verify,
            limits=limits,
            transport=httpx.AsyncHTTPTransport(
                verify=verify, limits=limits, socket_options=KEEP_ALIVE
            ),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def exchange(
        self, method: str, path: str, timeout_seconds: float, body: dict[str, Any] | None = None
    ) -> Reply:
        """The response to one request, after at most `timeout_seconds`. Raises ClientError.

        If it is cancelled, its connection is closed.
        """
        if self._http.is_closed:
            raise self._fail.closed()
        connect_seconds = min(CONNECT_TIMEOUT_SECONDS, timeout_seconds)
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._http.stream(
                    method,
                    self.endpoint + path,
                    json=body,
                    timeout=httpx.Timeout(None, connect=connect_seconds),
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
                return not_http(self._fail, first)
            if not first and await accepts_tls_async(self.endpoint):
                return self._fail.speaks_tls()
        return self._fail.lost(reason_in(causes_of(error)))
