"""Around every request: its id, the headers that protect browsers, a line in the log, a count, and
an answer in the API's own shape where a handler fails."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import nullcontext

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prediction.errors import one_line
from web.answers import FaultAnswers
from web.faults import fault
from web.figures import DRAWING_PATHS
from web.metrics import Metrics
from web.safety.key_guard import KEY_NAME

logger = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"

PROTECTION: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
"""Headers of every answer that does not set its own."""

_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLOSED_EARLY = 499
"""What the log says of a caller who went away before the answer, as nginx does."""
_UNLOGGED = ("/health", "/ready")
"""Asked every second by whoever watches the service."""


class Envelope:
    """The outermost layer."""

    def __init__(self, app: ASGIApp, answers: FaultAnswers, metrics: Metrics) -> None:
        self._app = app
        self._answers = answers
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(raw=scope["headers"]))
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.monotonic(), _CLOSED_EARLY

        async def send_protected(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                for name, value in PROTECTION.items():
                    headers.setdefault(name, value)
            await send(message)

        path: str = scope["path"]
        # The server leaves out the body of an answer to HEAD.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        asks_for_pictures = method == "POST" and path in DRAWING_PATHS
        try:
            with self._metrics.in_flight() if asks_for_pictures else nullcontext():
                await self._app({**scope, "method": method}, receive, send_protected)
        except Exception:
            logger.exception("request %s failed", request_id)
            # An answer that has begun ends here: the server closes the connection.
            if status == _CLOSED_EARLY:
                failure = fault(
                    500, f"the service has failed: its log says why, at request {request_id}"
                )
                await self._answers.answer(path, failure)(scope, receive, send_protected)
        finally:
            if status != _CLOSED_EARLY:
                self._metrics.request_answered(
                    self._answers.surface(path).api,
                    status,
                    asks_for_pictures=asks_for_pictures,
                )
            if path not in _UNLOGGED:
                seconds = time.monotonic() - started
                # Without the query: what people write may stand in it.
                logger.info(
                    "%s %s %d %.3f s %s%s",
                    scope["method"],
                    one_line(path),
                    status,
                    seconds,
                    request_id,
                    f" key {name}" if (name := scope["state"].get(KEY_NAME)) else "",
                )


def _request_id(headers: Headers) -> str:
    """The caller's, if it is short and plain."""
    given = headers.get(REQUEST_ID, "")
    return given if _PLAIN_ID.fullmatch(given) else uuid.uuid4().hex
