"""Pictures from the web service's job API: what is sent, and what comes back; no input or output.

A conversation is a generator: it yields each call, is sent the reply or thrown the failure, and
returns the result. So threads and asyncio share all but the connections.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, TypeVar

from client.transports.http_messages import Reply
from client.transports.progress import tell
from client.transports.web_messages import (
    CAPABILITIES,
    JOBS,
    STATUS,
    WebMessages,
    WebServiceStatus,
)
from prediction.answer import Answer
from prediction.description import Answers
from prediction.errors import ClientError, Repeat, RequestTimeoutError
from prediction.failures import Failures
from prediction.limits import PictureRequest, seconds_until
from prediction.model_status import STATUS_TIMEOUT_SECONDS, ModelStatus

T = TypeVar("T")

POLL_SECONDS = 15.0
"""How long the service may wait for a change before it answers. Proxies cut silent connections,
some after half a minute."""
POLL_MARGIN_SECONDS = 10.0
CANCEL_SECONDS = 2.0
"""Whoever interrupts does not want to wait."""
MAX_LOST = 2
"""How often a call is repeated at once whose connection was lost."""
MAX_REMEMBERED = 1000


@dataclass(frozen=True)
class Call:
    """One HTTP request."""

    method: str
    path: str
    timeout_seconds: float
    body: dict[str, Any] | None = None


Conversation = Generator[Call, Reply, T]


class WebJobs:
    """The conversations with one service.

    The id of each job is drawn here, so that a request that is sent again is the same job.
    """

    def __init__(self, messages: WebMessages) -> None:
        self._messages = messages
        self._lost: dict[PictureRequest, str] = {}
        """The jobs that the service may go on with, although their connection was lost."""
        self._open: set[str] = set()

    def drawn(self, request: PictureRequest, timeout_seconds: float) -> Conversation[Answer]:
        """The picture. If it is interrupted, or not there in time, its job is cancelled."""
        job_id = self._lost.pop(request, "") or secrets.token_hex(16)
        self._open.add(job_id)
        try:
            return (yield from self._drawn(job_id, request, timeout_seconds))
        except ClientError as error:
            if isinstance(error, RequestTimeoutError):
                yield from self._cancelled(job_id)
            elif not error.status:
                self._remember(request, job_id)
            raise
        except GeneratorExit:
            raise
        except BaseException:  # Ctrl-C, or a task that is cancelled
            yield from self._cancelled(job_id)
            raise
        finally:
            self._open.discard(job_id)

    def described(self, timeout_seconds: float) -> Conversation[Answers]:
        """What the service says of its model."""
        endpoint = self._messages.fail.endpoint
        deadline = time.monotonic() + timeout_seconds
        try:
            text = self._messages.description((yield Call("GET", CAPABILITIES, timeout_seconds)))
            if not text:
                status = yield from self.status(seconds_until(deadline))
                raise self._messages.not_ready(status) or self._messages.no_description()
        except ClientError as error:
            return [(endpoint, error)]
        return [(endpoint, text)]

    def status(self, timeout_seconds: float) -> Conversation[WebServiceStatus]:
        return self._messages.service_status((yield Call("GET", STATUS, timeout_seconds)))

    def model_status(self, timeout_seconds: float) -> Conversation[ModelStatus]:
        return self._messages.model_status((yield from self.status(timeout_seconds)))

    def all_cancelled(self) -> Conversation[None]:
        """For a client that is closed while it still waits for pictures."""
        deadline = time.monotonic() + CANCEL_SECONDS
        for job_id in list(self._open):
            if time.monotonic() < deadline:
                yield from self._cancelled(job_id)

    def _drawn(
        self, job_id: str, request: PictureRequest, timeout_seconds: float
    ) -> Conversation[Answer]:
        time_limit = _TimeLimit(timeout_seconds, self._messages.fail)
        path, body = f"{JOBS}/{job_id}", self._messages.job_body(job_id, request)
        reply = yield from _persistently(Call("POST", JOBS, timeout_seconds, body), time_limit)
        job = self._messages.job(reply)
        while not job.is_final:
            tell(job.progress)
            wait = time_limit.at_most(POLL_SECONDS)
            poll = f"{path}?wait={wait:.1f}&version={job.version}"
            reply = yield from _persistently(
                Call("GET", poll, wait + POLL_MARGIN_SECONDS), time_limit
            )
            if reply.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                raise self._messages.fail.job_forgotten(reply)
            job = self._messages.job(reply)
        if job.problem is not None:
            raise (yield from self._explained(job.problem))
        reply = yield from _persistently(
            Call("GET", f"{path}/pictures/0", timeout_seconds), time_limit
        )
        return self._messages.answer(job, request, reply)

    def _explained(self, problem: ClientError) -> Conversation[ClientError]:
        """A picture that was too late for want of a model says so: a model is waited for longer."""
        if isinstance(problem, RequestTimeoutError):
            with contextlib.suppress(ClientError):
                status = yield from self.status(STATUS_TIMEOUT_SECONDS)
                return self._messages.not_ready(status) or problem
        return problem

    def _cancelled(self, job_id: str) -> Conversation[None]:
        """Best effort: the service's own deadline ends the job otherwise."""
        with contextlib.suppress(ClientError):
            yield Call("DELETE", f"{JOBS}/{job_id}", CANCEL_SECONDS)

    def _remember(self, request: PictureRequest, job_id: str) -> None:
        if len(self._lost) < MAX_REMEMBERED:
            self._lost[request] = job_id


class _TimeLimit:
    """For one picture, with everything that is asked for it."""

    def __init__(self, seconds: float, fail: Failures) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._fail = fail

    def at_most(self, seconds: float) -> float:
        """`seconds`, or what is left. Raises RequestTimeoutError once nothing is."""
        if time.monotonic() >= self._end:
            raise self._fail.timed_out(self._seconds)
        return min(seconds, seconds_until(self._end))


def _persistently(call: Call, time_limit: _TimeLimit) -> Conversation[Reply]:
    """A lost connection is taken up again: the service goes on with the job meanwhile."""
    for attempt in range(MAX_LOST + 1):
        try:
            seconds = time_limit.at_most(call.timeout_seconds)
            return (yield replace(call, timeout_seconds=seconds))
        except ClientError as error:
            is_silent = isinstance(error, RequestTimeoutError)
            if is_silent:
                time_limit.at_most(call.timeout_seconds)
            if attempt == MAX_LOST or not (is_silent or error.repeat is Repeat.SPARINGLY):
                raise
    raise AssertionError("the last attempt returns or raises")


def asked_for_web_service(
    messages: WebMessages, timeout_seconds: float
) -> Conversation[bool | None]:
    """Whether the web service is at the endpoint, by one question; None if a proxy answers for a
    server that is away. Raises KeyRefusedError.
    """
    reply = yield Call("GET", CAPABILITIES, timeout_seconds)
    if reply.status == HTTPStatus.UNAUTHORIZED:
        raise messages.fail.of_reply(reply)
    if messages.is_web_service(reply):
        return True
    return None if reply.status >= 500 else False
