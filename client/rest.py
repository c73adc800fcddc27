"""TF Serving's REST API: one row to `:predict` and back, and the model's status."""

from __future__ import annotations

import base64
import json
import time
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import requests
import urllib3

from client import png
from client.errors import (
    ClientError,
    InputRefusedError,
    ModelNotFoundError,
    QueueFullError,
    RequestTimeoutError,
    UnexpectedAnswerError,
    UnreachableError,
    one_line,
)
from client.limits import PictureRequest
from client.transport import (
    STATUS_TIMEOUT_SECONDS,
    Answer,
    ModelState,
    ModelStatus,
    loading,
    not_ready,
)

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 * 2**20
READ_BYTES = 64 * 2**10
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading a document raises where it is not JSON or not of the expected shape."""

LOOPBACK_HOSTS = ("localhost", "::1")


class RestTransport:
    """One server's REST API. Not for use from several threads at once: give each its own."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self.endpoint = normalize_endpoint(endpoint)
        self.model_name = model_name
        self._model_url = f"{self.endpoint}/v1/models/{quote(model_name, safe='')}"
        self._session = requests.Session()
        # A company's proxy, found in the environment, cannot reach this machine's loopback.
        self._session.trust_env = not _is_loopback(self.endpoint)

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        body = {"signature_name": "serving_default", "instances": [_row(request)]}
        status, content = self._exchange("POST", ":predict", timeout_seconds, body)
        if status == HTTPStatus.OK:
            return self._answer(content)
        raise self._failure(status, content)

    def model_status(self, timeout_seconds: float = STATUS_TIMEOUT_SECONDS) -> ModelStatus:
        status, content = self._exchange("GET", "", timeout_seconds)
        if status == HTTPStatus.NOT_FOUND:
            raise self._model_not_found(_server_message(content))
        if status != HTTPStatus.OK:
            raise self._unexpected(f"HTTP {status} to a status request", content)
        try:
            versions = json.loads(content)["model_version_status"]
            return _model_status([_version(entry) for entry in versions])
        except MALFORMED:
            raise self._unexpected("no model status", content) from None

    def close(self) -> None:
        self._session.close()

    def _exchange(
        self, method: str, suffix: str, timeout_seconds: float, body: dict[str, Any] | None = None
    ) -> tuple[int, bytes]:
        """Status code and body of one exchange that takes at most about `timeout_seconds`."""
        deadline = time.monotonic() + timeout_seconds
        try:
            with self._session.request(
                method,
                self._model_url + suffix,
                json=body,
                timeout=(min(CONNECT_TIMEOUT_SECONDS, timeout_seconds), timeout_seconds),
                allow_redirects=False,
                stream=True,
            ) as response:
                return response.status_code, self._read(response, deadline, timeout_seconds)
        except requests.exceptions.InvalidURL:
            raise _no_endpoint(self.endpoint) from None
        except requests.ConnectTimeout:
            raise UnreachableError(
                f"no connection to {self.endpoint} in time: {_remedy(self.endpoint)}"
            ) from None
        except requests.Timeout:
            raise _timed_out(self.endpoint, timeout_seconds) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if time.monotonic() >= deadline:
                raise _timed_out(self.endpoint, timeout_seconds) from None
            raise UnreachableError(
                f"no answer from {self.endpoint} ({_cause(error)}): {_remedy(self.endpoint)}"
            ) from error

    def _read(self, response: requests.Response, deadline: float, timeout_seconds: float) -> bytes:
        content = bytearray()
        # Not iter_content: it waits for whole pieces, and so past any deadline.
        while piece := response.raw.read1(READ_BYTES, decode_content=True):
            content += piece
            if len(content) > MAX_ANSWER_BYTES:
                raise UnexpectedAnswerError(
                    f"{self.endpoint} sent more than {MAX_ANSWER_BYTES} bytes: "
                    "check that it is TF Serving"
                )
            if time.monotonic() > deadline:
                raise _timed_out(self.endpoint, timeout_seconds)
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
            )
        except MALFORMED:
            raise self._unexpected("no picture", content) from None

    def _failure(self, status: int, content: bytes) -> ClientError:
        """The exception for an answer that is not a picture."""
        message = _server_message(content)
        match status:
            case HTTPStatus.BAD_REQUEST:
                return InputRefusedError(f"{self.endpoint} refused the request: {message}")
            case HTTPStatus.TOO_MANY_REQUESTS:
                return self._full(message)
            case HTTPStatus.NOT_FOUND | HTTPStatus.SERVICE_UNAVAILABLE:
                return self._not_served(status, message)
            case HTTPStatus.GATEWAY_TIMEOUT:
                return RequestTimeoutError(
                    f"{self.endpoint} gave up on the picture ({message}): "
                    "ask for fewer steps, or raise the server's request timeout"
                )
            case _:
                return self._unexpected(f"HTTP {status}", content)

    def _not_served(self, status: int, message: str) -> ClientError:
        """Whether a model is missing, loading or busy: codes 404 and 503 leave that open."""
        try:
            model = self.model_status()
        except ModelNotFoundError as error:
            # A server that answered 503 knows the name, and has found no version of it so far.
            waits = status == HTTPStatus.SERVICE_UNAVAILABLE
            return loading(self.endpoint, self.model_name) if waits else error
        except ClientError as error:
            return error
        problem = not_ready(self.endpoint, self.model_name, model)
        if problem is not None:
            return problem
        if status == HTTPStatus.NOT_FOUND:
            return self._model_not_found(message)
        return self._full(message)

    def _full(self, message: str) -> QueueFullError:
        return QueueFullError(f"{self.endpoint} is full ({message}): try again in a moment")

    def _model_not_found(self, message: str) -> ModelNotFoundError:
        return ModelNotFoundError(
            f"{self.endpoint} serves no model {one_line(repr(self.model_name))} ({message}): "
            "check --model-name"
        )

    def _unexpected(self, what: str, content: bytes) -> UnexpectedAnswerError:
        return UnexpectedAnswerError(
            f"{self.endpoint} answered with {what} ({_server_message(content)}): "
            "check that TF Serving with this project's model listens there"
        )


def normalize_endpoint(endpoint: str) -> str:
    """`endpoint` as `http://host:port`; a bare `host:port` is taken for http."""
    text = endpoint.strip()
    if not text:
        raise InputRefusedError("the endpoint is empty: give one such as http://127.0.0.1:8501")
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    else:
        usable = usable and not (parts.query or parts.fragment) and text.isprintable()
    if not usable or " " in text:
        raise _no_endpoint(endpoint)
    return text.rstrip("/")


def _no_endpoint(text: str) -> InputRefusedError:
    return InputRefusedError(
        f"{one_line(repr(text))} is not an endpoint: give one such as http://127.0.0.1:8501"
    )


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
    return int(entry["version"]), _typed(entry["state"], str), one_line(_typed(message, str))


def _model_status(versions: list[tuple[int, str, str]]) -> ModelStatus:
    """The newest version that serves; else one on its way; else how the newest one ended."""
    for states, state in (
        (("AVAILABLE",), ModelState.READY),
        (("START", "LOADING"), ModelState.LOADING),
        (("UNLOADING", "END"), ModelState.UNAVAILABLE),
    ):
        matching = [entry for entry in versions if entry[1] in states]
        if matching:
            version, _, message = max(matching)
            return ModelStatus(state, str(version), message)
    raise ValueError("no version in a known state")


def _typed(value: object, kind: type[T]) -> T:
    if type(value) is not kind:  # bool is an int to isinstance, and is not one in JSON
        raise TypeError(f"not of type {kind.__name__}")
    return value


def _server_message(content: bytes) -> str:
    """TF Serving's own error text, or the start of whatever else was sent."""
    text = content.decode(errors="replace")
    try:
        document = json.loads(text)
        text = document["error"] if isinstance(document["error"], str) else text
    except MALFORMED:
        pass
    return one_line(text) or "an empty answer"


def _timed_out(endpoint: str, timeout_seconds: float) -> RequestTimeoutError:
    return RequestTimeoutError(
        f"no answer from {endpoint} within {timeout_seconds:g} s: raise --timeout, or ask for "
        "fewer steps"
    )


def _remedy(endpoint: str) -> str:
    if _is_loopback(endpoint):
        return "`make status` looks for the service, `make up` starts it"
    return (
        "`make status STACK=…` looks for the service, `make up STACK=…` starts it; "
        "it lets in only the address ranges that its stack allows"
    )


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host in LOOPBACK_HOSTS or host.startswith("127.")


def _cause(error: BaseException) -> str:
    """The operating system's words for why, which requests buries under its own."""
    cause: BaseException | None = error
    reason = "the connection broke"
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            reason = cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return one_line(reason)
