"""A request's body: JSON, within limits of size, time and depth, before anybody reads it.

Forms, multipart and text are refused: a browser sends those for a foreign page without asking.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.answers import FaultAnswers
from web.faults import FaultError
from web.safety import strict_json

_METHODS_WITH_BODY = ("POST", "PUT", "PATCH")
_JSON = (b"content-type", b"application/json")
_CLOSE = {"connection": "close"}
"""The rest of a body that nobody reads would have to be waited for."""
_DISCARDED_BYTES = 256 * 1024 * 1024
_DISCARD_SECONDS = 2.0
_LENGTH_DIGITS = 15
_TOO_SLOW = 408


@dataclass(frozen=True)
class BodyLimits:
    """max_total_bytes: of all requests at a time. unread: paths that never read their body."""

    max_bytes: int
    seconds: float = 30.0
    max_total_bytes: int = 256 * 1024 * 1024
    unread: frozenset[str] = frozenset()


class _DisconnectedError(Exception):
    """The caller went away in the middle of the body."""


class BodyGuard:
    """Reads the whole body, and passes on what is in order."""

    def __init__(self, app: ASGIApp, answers: FaultAnswers, limits: BodyLimits) -> None:
        self._app = app
        self._answers = answers
        self._limits = limits
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["method"] not in _METHODS_WITH_BODY
            or scope["path"] in self._limits.unread
        ):
            await self._app(scope, receive, send)
            return
        incoming = _Incoming(Headers(raw=scope["headers"]), receive)
        try:
            await self._read(incoming)
            body = bytes(incoming.body)
            if body and "content-type" not in incoming.headers:
                scope = {**scope, "headers": [*scope["headers"], _JSON]}
            await self._app(scope, _replay(body, receive), send)
        except FaultError as error:
            if error.fault.status != _TOO_SLOW:
                await incoming.discard()
            await self._answers.answer(scope["path"], error.fault)(scope, receive, send)
        except _DisconnectedError:
            return
        finally:
            self._held_bytes -= len(incoming.body)

    async def _read(self, incoming: _Incoming) -> None:
        if not incoming.has_more:
            return
        _check_kind(incoming.headers)
        length = incoming.headers.get("content-length", "0")
        if len(length) > _LENGTH_DIGITS or int(length) > self._limits.max_bytes:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._limits.seconds):
                while incoming.has_more:
                    part_bytes = await incoming.read_part()
                    # Not in one line: other requests change it while this one waits.
                    self._held_bytes += part_bytes
                    self._check_size(incoming)
        except TimeoutError:
            raise FaultError(
                _TOO_SLOW,
                f"the body did not arrive within {self._limits.seconds:g} s: send it again",
                headers=_CLOSE,
            ) from None
        try:
            if incoming.body:
                strict_json.check(bytes(incoming.body))
        except strict_json.JsonError as error:
            raise FaultError(400, str(error)) from None

    def _check_size(self, incoming: _Incoming) -> None:
        if len(incoming.body) > self._limits.max_bytes:
            raise self._too_large()
        if self._held_bytes > self._limits.max_total_bytes:
            raise FaultError(
                503,
                "too many large requests at a time: try again in a moment",
                retry_after_seconds=1,
                headers=_CLOSE,
            )

    def _too_large(self) -> FaultError:
        message = f"the body is larger than {self._limits.max_bytes} bytes: send less"
        return FaultError(413, message, headers=_CLOSE)


class _Incoming:
    """A body on its way."""

    def __init__(self, headers: Headers, receive: Receive) -> None:
        self.headers = headers
        self.body = bytearray()
        length = headers.get("content-length")
        self.has_more = length not in (None, "0") or "transfer-encoding" in headers
        self._receive = receive

    async def read_part(self) -> int:
        """Append what has come; returns its length."""
        message: Message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _DisconnectedError
        part: bytes = message.get("body", b"")
        self.has_more = message.get("more_body", False)
        self.body += part
        return len(part)

    async def discard(self) -> None:
        """Take the rest of an unwanted body, if it comes soon: most callers read no answer before
        they have sent everything."""
        if "expect" in self.headers:  # this one does
            return
        left = _DISCARDED_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while self.has_more and left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    self.has_more = message.get("more_body", False)


def _check_kind(headers: Headers) -> None:
    given = headers.get("content-type")
    kind = (given or "").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )
    # Without a type, programs send JSON as well; a page's scripts cannot leave out Origin.
    if not is_json and (given is not None or "origin" in headers):
        raise FaultError(
            415,
            "the body must be JSON and be called so: add the header "
            "'Content-Type: application/json' (curl: -H 'Content-Type: application/json')",
            headers=_CLOSE,
        )
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise FaultError(415, "the body is compressed: send it as it is", headers=_CLOSE)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body in one message, then what comes from the connection."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
