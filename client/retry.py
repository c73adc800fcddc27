"""Asking again where a server is full or still loads, ever more rarely, until a deadline."""

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
    """As `client.send`, where 503 is answered by asking again.

    The wait before the k-th retry is drawn between 0 and FIRST_WAIT_SECONDS · 2^(k−1), so that
    clients which were refused together do not come back together. All attempts and waits end
    within the client's time limit: a wait beyond it is not begun, and the last refusal raised.
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
    """Whether the server refused (HTTP 503) what it may take a moment later."""
    return isinstance(error, QueueFullError | ModelLoadingError) and error.status in _STATUSES
