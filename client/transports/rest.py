"""TF Serving's REST API: one row to `:predict` and back, and the model's status."""

from __future__ import annotations

import http.client
import socket
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import requests
import urllib3
from requests.adapters import HTTPAdapter

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
from prediction.tls import accepts_tls, is_wrong_protocol

T = TypeVar("T")

READ_BYTES = 64 * 2**10


class _KeepAliveAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *KEEP_ALIVE]
        super().init_poolmanager(*args, socket_options=options, **kwargs)


class RestTransport:
    """One server's REST API. Connections are kept alive, one per concurrent request."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self.endpoint = normalize_endpoint(endpoint, Protocol.REST)
        self._fail = Failures(self.endpoint, model_name)
        self._messages = RestMessages(self.endpoint, model_name)
        self._idle_sessions: deque[requests.Session] = deque()

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
            self._exchange("GET", self._messages.status_url, timeout_seconds)
        )

    def page(self, path: str, timeout_seconds: float) -> tuple[int, bytes]:
        """Status code and body of any page of this server."""
        reply = self._exchange("GET", self.endpoint + path, timeout_seconds)
        return reply.status, reply.content

    def close(self) -> None:
        while self._idle_sessions:
            self._idle_sessions.pop().close()

    def _predict(
        self, body: dict[str, Any], meaning: Callable[[Reply], T], timeout_seconds: float
    ) -> T:
        reply = self._exchange("POST", self._messages.predict_url, timeout_seconds, body)
        try:
            return meaning(reply)
        except NotServedError as refusal:
            raise self._fail.explained(refusal, self._status_or_error()) from None

    def _status_or_error(self) -> ModelStatus | ClientError:
        try:
            return self.model_status()
        except ClientError as error:
            return error

    def _exchange(
        self, method: str, url: str, timeout_seconds: float, body: dict[str, Any] | None = None
    ) -> Reply:
        """One exchange, which takes at most about `timeout_seconds`."""
        deadline = time.monotonic() + timeout_seconds
        try:
            with (
                self._session() as session,
                session.request(
                    method,
                    url,
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
                    return self._messages.not_http(str(cause.args[0]).encode("latin-1", "replace"))
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
        try:
            yield session
        finally:
            self._idle_sessions.append(session)

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
