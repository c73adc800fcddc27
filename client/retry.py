"""Asking again after a failure that may pass: a full or loading server, a lost connection."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception,
    wait_random_exponential,
)

from prediction.errors import ClientError, ModelLoadingError, Repeat, UnreachableError
from prediction.limits import seconds_until

if TYPE_CHECKING:
    from client.api import Client

T = TypeVar("T")

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
LONGEST_LOADING_WAIT_SECONDS = 2.0
"""Asking a server that is loading costs it nothing."""
MAX_LOST = 2
"""How often a request is repeated whose connection was lost: a model server does not notice, and
goes on drawing the picture that nobody waits for."""

BeforeRetry = Callable[[ClientError, float], None]
"""Called before each wait, with the failure and how many seconds it will be."""

_wait_for_room = wait_random_exponential(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
_wait_for_model = wait_random_exponential(FIRST_WAIT_SECONDS, LONGEST_LOADING_WAIT_SECONDS)


def log_retry(error: ClientError, wait_seconds: float) -> None:
    """For a program without a command line's output."""
    logging.getLogger("client").warning("%s; asking again in %.1f s", error, wait_seconds)


def until_deadline(
    client: Client,
    call: Callable[[float], T],
    *,
    timeout_seconds: float | None = None,
    before_retry: BeforeRetry = log_retry,
    sleep: Callable[[float], None] = time.sleep,
    wait_for_server: bool = True,
) -> T:
    """The result of `call`, which gets the seconds left, repeated after a failure that may pass.

    The wait before the k-th retry is random, between 0 and FIRST_WAIT_SECONDS · 2^(k−1) (full
    jitter), so that clients rejected together do not return together; it comes on top of what the
    server demands by Retry-After. All attempts and waits end within `timeout_seconds`, by default
    the client's, which begin when the model is loaded; see `Client`. Instead of a wait beyond that,
    the last error is raised. wait_for_server: also wait for a server that is loading or does not
    listen.
    """
    deadline = _Deadline(client, timeout_seconds)

    def attempt() -> T:
        try:
            return call(deadline.seconds_left())
        except UnreachableError as error:
            raise _starting(client, error) from None

    policy = _policy(deadline, before_retry, wait_for_server)
    return Retrying(sleep=sleep, **policy)(attempt)


async def until_deadline_async(
    client: Client,
    call: Callable[[float], Awaitable[T]],
    *,
    before_retry: BeforeRetry = log_retry,
) -> T:
    """As `until_deadline`, for a coroutine function."""
    deadline = _Deadline(client)

    async def attempt() -> T:
        try:
            return await call(deadline.seconds_left())
        except UnreachableError as error:
            raise _starting(client, error) from None

    policy = _policy(deadline, before_retry, wait_for_server=True)
    return await AsyncRetrying(**policy)(attempt)


class _Deadline:
    """When the attempts and waits for one request end. A model that loads postpones it."""

    def __init__(self, client: Client, timeout_seconds: float | None = None) -> None:
        self._seconds = client.bounded(timeout_seconds)
        self._end = time.monotonic() + self._seconds
        self._latest_end = self._end + client.loading_seconds

    def seconds_left(self) -> float:
        return seconds_until(self._end)

    def is_too_near(self, state: RetryCallState) -> bool:
        """Whether there is no time for the wait that comes next."""
        now = time.monotonic()
        if isinstance(_failure(state), ModelLoadingError):
            self._end = min(now + self._seconds, self._latest_end)
        return now + state.upcoming_sleep >= self._end


def _policy(
    deadline: _Deadline, before_retry: BeforeRetry, wait_for_server: bool
) -> dict[str, Any]:
    """tenacity's settings for one request."""
    lost = 0

    def may_pass(error: BaseException) -> bool:
        nonlocal lost
        if not isinstance(error, ClientError):
            return False
        if error.repeat is Repeat.SPARINGLY:
            lost += 1
            return lost <= MAX_LOST
        is_down = isinstance(error, ModelLoadingError | UnreachableError)
        return error.repeat is Repeat.FREELY and (wait_for_server or not is_down)

    def before_sleep(state: RetryCallState) -> None:
        before_retry(_failure(state), state.upcoming_sleep)

    return {
        "retry": retry_if_exception(may_pass),
        "wait": _wait_seconds,
        "stop": deadline.is_too_near,
        "before_sleep": before_sleep,
        "reraise": True,
    }


def _wait_seconds(state: RetryCallState) -> float:
    error = _failure(state)
    wait = _wait_for_model if isinstance(error, ModelLoadingError) else _wait_for_room
    return error.retry_after_seconds + wait(state)


def _failure(state: RetryCallState) -> ClientError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, ClientError)
    return error


def _starting(client: Client, error: UnreachableError) -> ClientError:
    """`error`, or that the server is starting if nothing listens yet and its record says so."""
    if error.repeat is not Repeat.FREELY or not client.is_starting():
        return error
    return ModelLoadingError(
        f"the server for {client.endpoint} is starting: try again in a moment; `make status` "
        "shows when it is ready",
        repeat=Repeat.FREELY,
    )
