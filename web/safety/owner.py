"""Whose a request is."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from starlette.requests import HTTPConnection
from starlette.types import Scope

from web.jobs.job import Owner

ANONYMOUS: Owner = ""

_STATE = "owner"
_SALT = secrets.token_bytes(32)
"""Of this process: whoever reads its memory or a log cannot compare owners with known keys."""


def owner_of(request: HTTPConnection) -> Owner:
    """Whose the request is, as `set_owner` has said. An error if nobody has."""
    return request.scope["state"][_STATE]


def set_owner(scope: Scope, owner: Owner) -> None:
    scope.setdefault("state", {})[_STATE] = owner


def hashed(credential: bytes) -> Owner:
    """The owner by a credential that nobody checks; anonymous if it is empty."""
    return hmac.digest(_SALT, credential, hashlib.sha256).hex() if credential else ANONYMOUS
