"""How long a client waits for a picture, and for the model before it."""

from __future__ import annotations

from prediction.errors import InputRefusedError
from prediction.limits import Limits

TIMEOUT_MARGIN_SECONDS = 5.0
"""The client waits this much longer than the server, whose timeout message is more specific."""

MAX_TIMEOUT_SECONDS = 86_400.0

LOADING_SECONDS = 600.0
"""How long a model may take to load: what `make up` gives it."""


def picture_seconds(timeout_seconds: float | None, limits: Limits) -> float:
    """The time for a picture: the one given, else the server's. Raises InputRefusedError."""
    if timeout_seconds is None:
        timeout_seconds = limits.request_timeout_seconds + TIMEOUT_MARGIN_SECONDS
    # Written so that NaN, which compares false with everything, is refused too.
    if not 0 < timeout_seconds <= MAX_TIMEOUT_SECONDS:
        raise InputRefusedError(
            f"the timeout must be above 0 and at most {MAX_TIMEOUT_SECONDS:g} seconds, "
            f"not {timeout_seconds:g}"
        )
    return timeout_seconds


def loading_seconds(timeout_seconds: float | None) -> float:
    """The time for the model before that; none where the time given is for both."""
    return LOADING_SECONDS if timeout_seconds is None else 0.0
