"""The key that a request carries, in whichever of three headers."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

Header = tuple[bytes, bytes]

_UNREADABLE = b""


def credentials(headers: Iterable[Header]) -> Sequence[bytes]:
    """The key in each header that is there for one, as the bytes that were sent:
    `Authorization: Bearer` or `Basic` (the password; any user name), and `X-Api-Key`. Empty bytes
    for one that has no key, or cannot be read.
    """
    found: list[bytes] = []
    for name, value in headers:
        match name.lower():
            case b"authorization":
                found.append(_authorized(value))
            case b"x-api-key":
                found.append(value.strip())
            case _:
                pass
    return found


def _authorized(value: bytes) -> bytes:
    scheme, _, credential = value.strip().partition(b" ")
    match scheme.lower():
        case b"bearer":
            return credential.strip()
        case b"basic":
            return _password(credential.strip())
        case _:
            return _UNREADABLE


def _password(credential: bytes) -> bytes:
    try:
        return base64.b64decode(credential, validate=True).partition(b":")[2]
    except ValueError:
        return _UNREADABLE
