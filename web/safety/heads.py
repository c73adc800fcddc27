"""What a request's head must be like: not too large, meant for this machine, and from a page that
may ask.

A browser lets every web page send requests to loopback. Host tells a page whose name somebody has
pointed at this machine (DNS rebinding), Origin any other foreign page. A service that asks for keys
may have any name: no page knows the key.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from prediction.errors import one_line
from web.answers import FaultAnswers
from web.faults import Fault, fault

MAX_HEADERS = 100
MAX_HEAD_BYTES = 16 * 1024

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_FOREIGN_SITES = ("cross-site", "same-site")
"""Values of Sec-Fetch-Site; another port of the same machine is on the same site."""


class HeadGuard:
    """Answers requests whose head is refused; passes on the others."""

    def __init__(
        self,
        app: ASGIApp,
        answers: FaultAnswers,
        allowed_origins: Collection[str],
        *,
        any_host: bool = False,
    ) -> None:
        self._app = app
        self._any_host = any_host
        self._answers = answers
        self._allowed_origins = frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await self._answers.answer(scope["path"], refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Fault | None:
        raw: list[tuple[bytes, bytes]] = scope["headers"]
        size = len(scope["query_string"]) + len(scope.get("raw_path") or b"")
        size += sum(len(name) + len(value) for name, value in raw)
        if len(raw) > MAX_HEADERS or size > MAX_HEAD_BYTES:
            return fault(
                431,
                f"the request's head is too large: at most {MAX_HEADERS} headers and "
                f"{MAX_HEAD_BYTES} bytes",
            )
        headers = Headers(raw=raw)
        host = headers.get("host", "")
        if not self._any_host and not is_loopback_host(host):
            return fault(
                403,
                f"Host is {one_line(repr(host))}, but this service answers to this machine's own "
                "names only: use http://127.0.0.1 or http://localhost with its port",
            )
        if scope["method"] in _SAFE_METHODS or self._may_change(headers, host):
            return None
        origin = headers.get("origin", "a foreign page")
        return fault(
            403,
            f"requests from pages of {one_line(origin)} are refused: start the service with "
            "--allow-origin to let them in",
        )

    def _may_change(self, headers: Headers, host: str) -> bool:
        """Whether the request comes from no page, a page of ours, or one on the list."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site") not in _FOREIGN_SITES
        # With keys there may be a load balancer in front, which speaks TLS.
        schemes = ("http", "https") if self._any_host else ("http",)
        own = [f"{scheme}://{host.lower()}" for scheme in schemes]
        return origin in self._allowed_origins or origin.lower() in own


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names this machine, with any port."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if port == 0 or parts.netloc != host or "@" in host:
        return False
    name = name.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
