"""Retries with exponential backoff while a server is full or still loading."""

from __future__ import annotations

import time
from collections.abc import Callable

from tenacity import Retrying, retry_if_exception, stop_before_delay, wait_random_exponential

from client.api import Client
from client.errors import ModelLoadingError, QueueFullError
from client.limits import PictureRequest
from client.pictures.picture import Picture

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
_STATUSES = ("503", "UNAVAILABLE")


def send_until_deadline(
    client: Client,
    request: PictureRequest,
    *,
    before_retry: Callable[[], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Picture:
    """As `client.send`, but retries after a 503.

    The wait before the k-th retry is random, between 0 and FIRST_WAIT_SECONDS · 2^(k−1) (full
    jitter), so that clients rejected together do not return together. All attempts and waits end
    within the client's timeout: instead of a wait beyond it, the last error is raised.
    """
    deadline = time.monotonic() + client.timeout_seconds
    retrying = Retrying(
        retry=retry_if_exception(is_for_now),
        wait=wait_random_exponential(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS),
        stop=stop_before_delay(client.timeout_seconds),
        sleep=sleep,
        before_sleep=lambda _: before_retry(),
        reraise=True,
    )
    return retrying(lambda: client.send(request, max(deadline - time.monotonic(), 0.001)))


def is_for_now(error: BaseException) -> bool:
    """Whether the failure is transient: a 503 that may succeed a moment later."""
    return isinstance(error, QueueFullError | ModelLoadingError) and error.status in _STATUSES
