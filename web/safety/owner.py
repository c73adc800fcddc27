"""Whose a request is: a hash of the credential that it carries."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping

from web.jobs.job import Owner

ANONYMOUS: Owner = ""

_SALT = secrets.token_bytes(32)
"""Of this process: whoever reads its memory or a log cannot compare owners with known keys."""


def owner_of(headers: Mapping[str, str]) -> Owner:
    """The owner by `Authorization: Bearer` or `Basic` (the password; any user name), or
    `X-Api-Key`; anonymous without one, or if it is empty or unreadable. The key itself is not
    checked.
    """
    key = _authorized(headers.get("authorization", "")) or headers.get("x-api-key", "").strip()
    if not key:
        return ANONYMOUS
    return hmac.digest(_SALT, key.encode(errors="surrogateescape"), hashlib.sha256).hex()


def _authorized(value: str) -> str:
    scheme, _, credential = value.strip().partition(" ")
    match scheme.lower():
        case "bearer":
            return credential.strip()
        case "basic":
            return _password(credential.strip())
        case _:
            return ""


def _password(credential: str) -> str:
    try:
        return base64.b64decode(credential, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""
