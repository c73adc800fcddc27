"""Why a job is not taken, or ends without its pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 1, 60
"""OpenAI's JavaScript SDK ignores a Retry-After above a minute, and its Python SDK above two."""


class Reason(StrEnum):
    """What went wrong, as a word that programs may compare."""

    INVALID = "invalid_request"
    """A value that the model or the service does not take."""
    TOO_COSTLY = "too_costly"
    FULL = "queue_full"
    BUSY = "busy"
    """A worker, which draws one job at a time, has one."""
    TOO_MANY = "too_many_jobs"
    """The caller has as many as one may have at a time."""
    DRAINING = "shutting_down"
    LOADING = "model_loading"
    UNREACHABLE = "model_server_unreachable"
    LOST = "model_server_lost"
    """It went away while it drew, and did not come back in time."""
    FAILED = "model_server_failed"
    """It answered with an error that is nobody's fault but its own."""
    TOO_LATE = "deadline_exceeded"
    CANCELLED = "cancelled"


RETRYABLE = frozenset(
    {
        *(Reason.FULL, Reason.BUSY, Reason.DRAINING, Reason.LOADING, Reason.UNREACHABLE),
        *(Reason.LOST, Reason.TOO_LATE, Reason.TOO_MANY),
    }
)
"""The same request may succeed later: HTTP 503, 429 for `TOO_MANY` or 504 for `TOO_LATE`, with
Retry-After."""


@dataclass(frozen=True)
class Problem:
    """One line for a person, and when to try again: in 1 to 60 s, or never (None). field: of the
    request, if one is to blame."""

    reason: Reason
    message: str
    retry_after_seconds: int | None = None
    field: str | None = None


class RefusedError(Exception):
    """A request that becomes no job, or no pictures."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def refused(
    reason: Reason,
    message: str,
    retry_after_seconds: float | None = None,
    *,
    field: str | None = None,
) -> RefusedError:
    """With Retry-After brought into its range where the reason passes by itself."""
    return RefusedError(replace(problem(reason, message, retry_after_seconds), field=field))


def problem(reason: Reason, message: str, retry_after_seconds: float | None = None) -> Problem:
    """As `refused`."""
    if reason not in RETRYABLE:
        return Problem(reason, message)
    seconds = MIN_RETRY_SECONDS if retry_after_seconds is None else round(retry_after_seconds)
    return Problem(reason, message, min(max(seconds, MIN_RETRY_SECONDS), MAX_RETRY_SECONDS))
