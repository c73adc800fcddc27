"""TF Serving's REST API: one row to `:predict` and back, and the model's status."""

from __future__ import annotations

import base64
import json
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

import requests
import urllib3

from client.errors import ClientError, one_line
from client.limits import PictureRequest
from client.pictures import png
from client.transports.endpoints import Protocol, is_loopback, normalize_endpoint, not_an_endpoint
from client.transports.failures import Failures
from client.transports.transport import STATUS_TIMEOUT_SECONDS, Answer, ModelStatus, model_status_of

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 * 2**20
READ_BYTES = 64 * 2**10
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What parsing raises for text that is not JSON or not of the expected shape."""


class RestTransport:
    """One server's REST API. Connections are kept alive, one per concurrent request."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self.endpoint = normalize_endpoint(endpoint, Protocol.REST)
        self._fail = Failures(self.endpoint, model_name)
        self._model_url = f"{self.endpoint}/v1/models/{quote(model_name, safe='')}"
        self._idle_sessions: deque[requests.Session] = deque()

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        body = {"signature_name": "serving_default", "instances": [_row(request)]}
        url = f"{self._model_url}:predict"
        status, content = self._exchange("POST", url, timeout_seconds, body)
        if status == HTTPStatus.OK:
            return self._answer(content)
        raise self._failure(status, content)

    def model_status(self, timeout_seconds: float = STATUS_TIMEOUT_SECONDS) -> ModelStatus:
        status, content = self._exchange("GET", self._model_url, timeout_seconds)
        if status == HTTPStatus.NOT_FOUND:
            raise self._fail.model_not_found(_server_message(content), str(status))
        if status != HTTPStatus.OK:
            raise self._unexpected(f"HTTP {status} to a status request", content, status)
        try:
            versions = json.loads(content)["model_version_status"]
            return model_status_of([_version(entry) for entry in versions])
        except MALFORMED:
            raise self._unexpected("no model status", content, status) from None

    def page(self, path: str, timeout_seconds: float) -> tuple[int, bytes]:
        """Status code and body of any page of this server."""
        return self._exchange("GET", self.endpoint + path, timeout_seconds)

    def close(self) -> None:
        while self._idle_sessions:
            self._idle_sessions.pop().close()

    def _exchange(
        self, method: str, url: str, timeout_seconds: float, body: dict[str, Any] | None = None
    ) -> tuple[int, bytes]:
        """Status code and body of one exchange that takes at most about `timeout_seconds`."""
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
                return response.status_code, self._read(response, deadline, timeout_seconds)
        except requests.exceptions.InvalidURL:
            raise not_an_endpoint(self.endpoint) from None
        except requests.ConnectTimeout:
            raise self._fail.not_connected_in_time() from None
        except requests.Timeout:
            raise self._fail.timed_out(timeout_seconds) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if time.monotonic() >= deadline:
                raise self._fail.timed_out(timeout_seconds) from None
            raise self._fail.unreachable(_cause(error)) from error

    @contextmanager
    def _session(self) -> Generator[requests.Session]:
        """A session that no other thread uses at the same time."""
        try:
            session = self._idle_sessions.pop()
        except IndexError:
            session = requests.Session()
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

    def _answer(self, content: bytes) -> Answer:
        try:
            (row,) = json.loads(content)["predictions"]
            image = base64.b64decode(row["image_bytes"]["b64"], validate=True)
            png.check(image)
            return Answer(
                png=image,
                seed=_typed(row["seed"], int),
                num_steps=_typed(row["num_steps"], int),
                prompt_tokens=_typed(row["prompt_tokens"], int),
                truncated=_typed(row["truncated"], bool),
                fingerprint=one_line(_typed(row["fingerprint"], str)),
                endpoint=self.endpoint,
            )
        except MALFORMED:
            raise self._unexpected("no picture", content, HTTPStatus.OK) from None

    def _failure(self, status: int, content: bytes) -> ClientError:
        """The exception for a response that is not a picture."""
        message = _server_message(content)
        match status:
            case HTTPStatus.BAD_REQUEST:
                return self._fail.refused(message, str(status))
            case HTTPStatus.TOO_MANY_REQUESTS:
                return self._fail.full(message, str(status))
            case HTTPStatus.NOT_FOUND | HTTPStatus.SERVICE_UNAVAILABLE:
                return self._fail.not_served(
                    message,
                    str(status),
                    name_is_known=status == HTTPStatus.SERVICE_UNAVAILABLE,
                    model_status=self.model_status,
                )
            case HTTPStatus.GATEWAY_TIMEOUT:
                return self._fail.given_up(message, str(status))
            case _:
                return self._unexpected(f"HTTP {status}", content, status)

    def _unexpected(self, what: str, content: bytes, status: int) -> ClientError:
        return self._fail.unexpected(what, _server_message(content), str(int(status)))


def _row(request: PictureRequest) -> dict[str, Any]:
    return {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "num_steps": request.num_steps,
        "guidance_scale": request.guidance_scale,
        "seed": request.seed,
    }


def _version(entry: Any) -> tuple[int, str, str]:
    message = entry.get("status", {}).get("error_message", "")
    return int(entry["version"]), _typed(entry["state"], str), _typed(message, str)


def _typed(value: object, kind: type[T]) -> T:
    if type(value) is not kind:  # bool is an int to isinstance, and is not one in JSON
        raise TypeError(f"not of type {kind.__name__}")
    return value


def _server_message(content: bytes) -> str:
    """TF Serving's error message, or the start of any other body."""
    text = content.decode(errors="replace")
    try:
        document = json.loads(text)
        text = document["error"] if isinstance(document["error"], str) else text
    except MALFORMED:
        pass
    return one_line(text) or "an empty response"


def _cause(error: BaseException) -> str:
    """The operating system's error message, which requests wraps in its own."""
    cause: BaseException | None = error
    reason = "the connection was lost"
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            reason = cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return one_line(reason)
