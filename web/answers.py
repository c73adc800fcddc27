"""Which API a path belongs to, and faults in that API's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import JSONResponse, Response

from web.faults import Body, Fault
from web.metrics import PAGE, Metrics


@dataclass(frozen=True)
class Surface:
    """The paths of one API: the prefix, and those below it."""

    prefix: str
    api: str
    """As metrics name it."""
    body: Body


def native_body(fault: Fault) -> dict[str, object]:
    """An error as the own API says it."""
    error: dict[str, object] = {"code": fault.code, "message": fault.message}
    if fault.retry_after_seconds is not None:
        error["retryAfterSeconds"] = fault.retry_after_seconds
    return {"error": error}


_NO_API = Surface("", PAGE, native_body)


class FaultAnswers:
    """Answers faults, and counts them."""

    def __init__(self, surfaces: Sequence[Surface], metrics: Metrics) -> None:
        self._surfaces = surfaces
        self._metrics = metrics

    def surface(self, path: str) -> Surface:
        for surface in self._surfaces:
            if path == surface.prefix or path.startswith(f"{surface.prefix}/"):
                return surface
        return _NO_API

    def answer(self, path: str, fault: Fault) -> Response:
        self._metrics.request_rejected(fault.code, fault.status)
        headers = dict(fault.headers)
        if fault.retry_after_seconds is not None:
            headers["retry-after"] = str(fault.retry_after_seconds)
        return JSONResponse(self.surface(path).body(fault), fault.status, headers)
