"""Asking again where a server is full or still loads, ever more rarely, until a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from client.api import Client
from client.errors import ClientError, ModelLoadingError, QueueFullError
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
    wait: Callable[[float], object] = time.sleep,
    draw: Callable[[float, float], float] = random.uniform,
) -> Picture:
    """As `client.send`, where 503 is answered by asking again.

    The wait before the k-th retry is drawn between 0 and FIRST_WAIT_SECONDS · 2^(k−1), so that
    clients which were refused together do not come back together. All attempts and waits end
    within the client's time limit: a wait beyond it is not begun, and the last refusal raised.
    """
    deadline = time.monotonic() + client.timeout_seconds
    longest_wait = FIRST_WAIT_SECONDS
    while True:
        try:
            return client.send(request, max(deadline - time.monotonic(), 0.001))
        except ClientError as error:
            pause = draw(0, longest_wait)
            if not is_for_now(error) or time.monotonic() + pause >= deadline:
                raise
            wait(pause)
            before_retry()
            longest_wait = min(2 * longest_wait, LONGEST_WAIT_SECONDS)


def is_for_now(error: ClientError) -> bool:
    """Whether the server refused (HTTP 503) what it may take a moment later."""
    return isinstance(error, QueueFullError | ModelLoadingError) and error.status in _STATUSES
