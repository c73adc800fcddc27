"""What goes wrong with a request, before it is put in the words of the API that it came by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from web.jobs.refusals import RETRYABLE, Problem, Reason

HTTP_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "conflict",
    410: "gone",
    411: "length_required",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    431: "headers_too_large",
    500: "internal_error",
    502: "bad_gateway",
    503: "unavailable",
}
"""A word for each status that has no `Reason`."""


@dataclass(frozen=True)
class Fault:
    """A request's failure: the HTTP status, a word for programs, one line for people.

    param: the field of the request that is wrong.
    """

    status: int
    code: str
    message: str
    retry_after_seconds: int | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])


Body = Callable[[Fault], object]
"""The JSON in which an API says a fault."""


class FaultError(Exception):
    """Raised by whoever handles a request; the application answers it in the API's shape."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        retry_after_seconds: int | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        plain = fault(status, message, code, retry_after_seconds)
        self.fault = replace(plain, param=param, headers=dict(headers or {}))


def fault(
    status: int, message: str, code: str = "", retry_after_seconds: int | None = None
) -> Fault:
    """A fault; without a code, with the word of its status."""
    return Fault(status, code or HTTP_CODES.get(status, "error"), message, retry_after_seconds)


def fault_of(problem: Problem) -> Fault:
    """Why there is no picture, as an HTTP status."""
    if problem.reason is Reason.TOO_MANY:
        status = 429
    elif problem.reason is Reason.TOO_LATE:
        status = 504
    elif problem.reason in RETRYABLE:
        status = 503
    elif problem.reason is Reason.FAILED:
        status = 502
    else:
        status = 400
    return Fault(
        status, problem.reason.value, problem.message, problem.retry_after_seconds, problem.field
    )
