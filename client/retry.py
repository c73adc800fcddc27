"""Asking again after a failure that may pass: a full or loading server, a lost connection."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_before_delay,
    wait_random_exponential,
)

from client.errors import ClientError, ModelLoadingError, Repeat, UnreachableError
from client.limits import PictureRequest
from client.pictures.picture import Picture

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


def send_until_deadline(
    client: Client,
    request: PictureRequest,
    *,
    before_retry: BeforeRetry = log_retry,
    sleep: Callable[[float], None] = time.sleep,
    wait_for_server: bool = True,
) -> Picture:
    """As `client.send`, but asks again after a failure that may pass; see `until_deadline`."""
    return until_deadline(
        client,
        lambda timeout_seconds: client.send(request, timeout_seconds),
        before_retry=before_retry,
        sleep=sleep,
        wait_for_server=wait_for_server,
    )


def until_deadline(
    client: Client,
    call: Callable[[float], T],
    *,
    before_retry: BeforeRetry = log_retry,
    sleep: Callable[[float], None] = time.sleep,
    wait_for_server: bool = True,
) -> T:
    """The result of `call`, which gets the seconds left, repeated after a failure that may pass.

    The wait before the k-th retry is random, between 0 and FIRST_WAIT_SECONDS · 2^(k−1) (full
    jitter), so that clients rejected together do not return together; it comes on top of what the
    server demands by Retry-After. All attempts and waits end within the client's timeout: instead
    of a wait beyond it, the last error is raised. wait_for_server: also wait for a server that is
    loading or does not listen.
    """
    seconds_left = _countdown(client.timeout_seconds)

    def attempt() -> T:
        try:
            return call(next(seconds_left))
        except UnreachableError as error:
            raise (_starting(client, error) if wait_for_server else error) from None

    policy = _policy(client.timeout_seconds, before_retry, wait_for_server)
    return Retrying(sleep=sleep, **policy)(attempt)


async def until_deadline_async(
    client: Client,
    call: Callable[[float], Awaitable[T]],
    *,
    before_retry: BeforeRetry = log_retry,
    wait_for_server: bool = True,
) -> T:
    """As `until_deadline`, for a coroutine function."""
    import asyncio

    seconds_left = _countdown(client.timeout_seconds)

    async def attempt() -> T:
        try:
            return await call(next(seconds_left))
        except UnreachableError as error:
            raise (_starting(client, error) if wait_for_server else error) from None

    policy = _policy(client.timeout_seconds, before_retry, wait_for_server)
    return await AsyncRetrying(sleep=asyncio.sleep, **policy)(attempt)


def _policy(
    timeout_seconds: float, before_retry: BeforeRetry, wait_for_server: bool
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
        "stop": stop_before_delay(timeout_seconds),
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


def _countdown(timeout_seconds: float) -> Iterator[float]:
    """The seconds left at each attempt; the first one has them all."""
    deadline = time.monotonic() + timeout_seconds
    yield timeout_seconds
    while True:
        yield max(deadline - time.monotonic(), 0.001)
