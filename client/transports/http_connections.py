"""HTTP requests to one server, with threads."""

from __future__ import annotations

import http.client
import socket
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

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
from prediction.tls import accepts_tls, is_wrong_protocol

READ_BYTES = 64 * 2**10


class _KeepAliveAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *KEEP_ALIVE]
        super().init_poolmanager(*args, socket_options=options, **kwargs)


class HttpConnections:
    """Connections to one server, kept alive, one per concurrent request.

    key: is sent as a bearer token, unless it is empty.
    """

    def __init__(self, endpoint: str, fail: Failures, key: str = "") -> None:
        self.endpoint = endpoint
        self._key = key
        self._fail = fail
        self._idle_sessions: deque[requests.Session] = deque()

    def close(self) -> None:
        while self._idle_sessions:
            self._idle_sessions.pop().close()

    def exchange(
        self, method: str, path: str, timeout_seconds: float, body: dict[str, Any] | None = None
    ) -> Reply:
        """The response to one request, in at most about `timeout_seconds`. Raises ClientError."""
        deadline = time.monotonic() + timeout_seconds
        try:
            with (
                self._session() as session,
                session.request(
                    method,
                    self.endpoint + path,
                    json=body,
                    timeout=(min(CONNECT_TIMEOUT_SECONDS, timeout_seconds), timeout_seconds),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                return Reply(
                    response.status_code,
                    self._read(response, deadline, timeout_seconds),
                    retry_after_seconds(response.headers),
                )
        except requests.exceptions.InvalidURL:
            raise not_an_endpoint(self.endpoint) from None
        except requests.ConnectTimeout:
            raise self._fail.not_connected_in_time() from None
        except requests.Timeout:
            raise self._fail.timed_out(timeout_seconds) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if time.monotonic() >= deadline:
                raise self._fail.timed_out(timeout_seconds) from None
            raise self._connection_failure(error) from error

    def _connection_failure(self, error: BaseException) -> ClientError:
        """The exception for an exchange that ended without a response."""
        causes = causes_of(error)
        reason = reason_in(causes)
        for cause in causes:
            match cause:
                case requests.exceptions.SSLError():
                    if is_wrong_protocol(reason):
                        return self._fail.speaks_no_tls()
                    return self._fail.not_trusted(reason)
                case http.client.RemoteDisconnected():  # a BadStatusLine as well, without a line
                    break
                case http.client.BadStatusLine():
                    return not_http(self._fail, str(cause.args[0]).encode("latin-1", "replace"))
                case urllib3.exceptions.NameResolutionError():
                    return self._fail.unreachable(reason)
                case urllib3.exceptions.NewConnectionError():
                    return self._fail.not_connected(reason)
                case _:
                    pass
        if self.endpoint.startswith("http:") and accepts_tls(self.endpoint):
            return self._fail.speaks_tls()
        return self._fail.lost(reason)

    @contextmanager
    def _session(self) -> Generator[requests.Session]:
        """A session that no other thread uses at the same time."""
        try:
            session = self._idle_sessions.pop()
        except IndexError:
            session = requests.Session()
            for scheme in ("http://", "https://"):
                session.mount(scheme, _KeepAliveAdapter())
            # A proxy from the environment cannot reach this machine's loopback.
            session.trust_env = not is_loopback(self.endpoint)
            if self._key:
                # Not as a header, which a .netrc file would overrule.
                session.auth = self._with_key
        try:
            yield session
        finally:
            self._idle_sessions.append(session)

    def _with_key(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _read(self, response: requests.Response, deadline: float, timeout_seconds: float) -> bytes:
        content = bytearray()
        # Not iter_content: it waits for full chunks, and so beyond the deadline.
        while chunk := response.raw.read1(READ_BYTES, decode_content=True):
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise self._fail.too_long(MAX_ANSWER_BYTES)
            if time.monotonic() > deadline:
                raise self._fail.timed_out(timeout_seconds)
        return bytes(content)
