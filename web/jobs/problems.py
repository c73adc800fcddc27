"""What goes wrong with jobs, in one line for whoever asked for the picture."""

from __future__ import annotations

import math

from prediction.errors import (
    ClientError,
    InputRefusedError,
    QueueFullError,
    RequestTimeoutError,
    UnexpectedAnswerError,
)
from web.jobs.refusals import Problem, Reason, problem

RETRY_SECONDS = 10.0
"""Retry-After where nothing is known."""
TRY_AGAIN = "try again in a moment"


def is_busy(error: ClientError) -> bool:
    """Somebody else's requests have filled the model server."""
    return isinstance(error, QueueFullError)


def is_loss(error: ClientError) -> bool:
    """The model server, or its model, went away: another try may succeed."""
    if isinstance(error, UnexpectedAnswerError):
        return error.status in ("UNAVAILABLE", "NOT_FOUND")  # the model was unloaded
    return not isinstance(error, InputRefusedError | RequestTimeoutError)


def problem_of(error: ClientError) -> Problem:
    """Of a model server's failure that is no loss."""
    if isinstance(error, InputRefusedError):
        return problem(Reason.INVALID, f"the model did not take the request: {_said(error)}")
    if isinstance(error, RequestTimeoutError):
        return problem(
            Reason.LOST,
            f"the model server did not answer in time, and was given up: {TRY_AGAIN}, or ask for "
            "fewer steps",
            RETRY_SECONDS,
        )
    status = f" ({error.status})" if error.status else ""
    return problem(
        Reason.FAILED,
        f"the model server failed to draw the picture{status}: try again; if it happens again, "
        "the service's log says why",
    )


def lost_too_often(losses: int) -> Problem:
    return problem(
        Reason.LOST,
        f"the model server went away {losses} times while it drew this: {TRY_AGAIN}, with fewer "
        "steps or pictures if it happens again",
        RETRY_SECONDS,
    )


def did_not_come_back(seconds: float) -> Problem:
    return problem(
        Reason.LOST,
        f"the model server went away while it drew this, and was not back within {seconds:g} s: "
        f"{TRY_AGAIN}",
        RETRY_SECONDS,
    )


def away(*, is_loading: bool, seconds: float | None = None) -> Problem:
    """seconds: how long a job has waited; None for one that is refused at once."""
    waited = "" if seconds is None else f" after {seconds:g} s"
    reason = Reason.LOADING if is_loading else Reason.UNREACHABLE
    return problem(reason, f"{_missing(is_loading)}{waited}: {TRY_AGAIN}", RETRY_SECONDS)


def model_changed(message: str) -> Problem:
    return problem(Reason.INVALID, f"another model is served than when this was asked: {message}")


def own_fault() -> Problem:
    return problem(
        Reason.FAILED,
        "the service failed while this was drawn: try again; if it happens again, its log says why",
    )


def cancelled() -> Problem:
    return problem(Reason.CANCELLED, "the job was cancelled")


def draining() -> Problem:
    return problem(Reason.DRAINING, f"the service is stopping: {TRY_AGAIN}", RETRY_SECONDS)


def full(waiting: int, seconds: float | None) -> Problem:
    """seconds: until there is room."""
    if not waiting:
        return problem(
            Reason.BUSY,
            f"this worker draws one job at a time, and is at one: {TRY_AGAIN}",
            _whole(seconds, RETRY_SECONDS),
        )
    jobs = "1 job waits" if waiting == 1 else f"{waiting} jobs wait"
    return problem(
        Reason.FULL, f"the queue is full ({jobs}): {TRY_AGAIN}", _whole(seconds, RETRY_SECONDS)
    )


def too_many(jobs: int, seconds: float | None) -> Problem:
    """seconds: until one of the caller's is done."""
    yours = "1 job of yours waits or is" if jobs == 1 else f"{jobs} jobs of yours wait or are"
    return problem(
        Reason.TOO_MANY,
        f"{yours} being drawn, and one key may have no more at a time: wait for one, or end one",
        _whole(seconds, RETRY_SECONDS),
    )


def would_be_late(seconds: float, limit: float) -> Problem:
    return problem(
        Reason.TOO_LATE,
        f"this would be ready in about {math.ceil(seconds)} s, and its deadline is {limit:g} s: "
        "try again later, or allow more time",
        seconds - limit,
    )


def too_late(limit: float, seconds: float | None) -> Problem:
    """seconds: until those that wait are done."""
    return problem(
        Reason.TOO_LATE,
        f"this was not ready within its {limit:g} s: {TRY_AGAIN}, or allow more time",
        _whole(seconds, RETRY_SECONDS),
    )


def too_late_without_server(limit: float, *, is_loading: bool) -> Problem:
    """As `too_late`, while no model server is ready."""
    return problem(
        Reason.TOO_LATE,
        f"{_missing(is_loading)}, and this could not be drawn within its {limit:g} s: {TRY_AGAIN}",
        RETRY_SECONDS,
    )


def _missing(is_loading: bool) -> str:
    return "the model is still being loaded" if is_loading else "the model server does not answer"


def _whole(seconds: float | None, otherwise: float) -> float:
    return otherwise if seconds is None else math.ceil(seconds)


def _said(error: ClientError) -> str:
    """The server's own words, without its address."""
    return str(error).partition(" refused the request: ")[2] or str(error)
