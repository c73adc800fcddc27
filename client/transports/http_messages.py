"""What an HTTP server's answers mean, whichever API they are of; no input or output."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from prediction.errors import ClientError
from prediction.failures import Failures

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 * 2**20
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What parsing raises for text that is not JSON or not of the expected shape."""

_HTTP2_SETTINGS = re.compile(rb"\0\0.\x04", re.DOTALL)
"""How a gRPC server greets: the frame's length, in three bytes, and its type."""
_TLS_ALERT = b"\x15\x03"


@dataclass(frozen=True)
class Reply:
    """An HTTP response. retry_after_seconds: its header Retry-After, 0 without one."""

    status: int
    content: bytes
    retry_after_seconds: float = 0.0


def not_http(fail: Failures, greeting: bytes) -> ClientError:
    """The exception for a server that answers with something other than HTTP/1."""
    if _HTTP2_SETTINGS.match(greeting):
        return fail.speaks_grpc()
    if greeting.startswith(_TLS_ALERT):
        return fail.speaks_tls()
    return fail.no_http(greeting[:40].decode(errors="replace").strip())


def retry_after_seconds(headers: Mapping[str, str]) -> float:
    """The header Retry-After, in seconds or as a date; 0 if it is missing or neither."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)


def typed(value: object, kind: type[T]) -> T:
    """`value`, of exactly this type: bool is an int to isinstance, and is not one in JSON."""
    if type(value) is not kind:
        raise TypeError(f"not of type {kind.__name__}")
    return value
