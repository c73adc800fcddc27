"""The lock of a model folder in a bucket: an object that only one process can create.

Its holder rewrites it every few seconds, each time on the condition that nobody else has. When its
generation stops changing, the holder is dead, and another process may replace it. Needs no clock
that two machines agree on, and no permission that publishing does not need.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from google.api_core.exceptions import (
    Forbidden,
    GoogleAPICallError,
    GoogleAPIError,
    PreconditionFailed,
)
from google.auth.exceptions import GoogleAuthError
from requests import RequestException

from model_export.locks import BusyError, LockLostError, this_process

_HOLDER, _TOKEN = "holder", "token"
_REFRESH_SECONDS = 10.0
_TIMEOUT_SECONDS = 20.0
_FAILURES = (GoogleAPIError, GoogleAuthError, RequestException)
_RETAINED_REASONS = {"retentionPolicyNotMet", "objectUnderActiveHold"}

Explained = Callable[[], AbstractContextManager[None]]


def retention(error: GoogleAPICallError) -> str | None:
    """The service's own words if the bucket keeps an object from being changed or deleted.

    None for a missing permission, which is a 403 too.
    """
    for detail in error.errors or _body(error):
        if detail.get("reason") in _RETAINED_REASONS:
            return " ".join(str(detail.get("message")).split())[:300]
    return None


def _body(error: GoogleAPICallError) -> list[dict[str, Any]]:
    """The details of a refused upload, which the client library does not parse."""
    response: Any = error.response
    try:
        return response.json()["error"]["errors"]
    except (AttributeError, KeyError, TypeError, ValueError):
        return []


def _is_kept(blob: Any) -> bool:
    """Whether a retention policy or a hold forbids to replace the object."""
    until = blob.retention_expiration_time
    has_hold = bool(blob.temporary_hold or blob.event_based_hold)
    return has_hold or (until is not None and until > datetime.now(UTC))


class GcsLock:
    """`explained` turns the client library's errors into our own."""

    def __init__(self, bucket: Any, name: str, explained: Explained) -> None:
        self._bucket, self._name, self._explained = bucket, name, explained
        self._token = uuid.uuid4().hex
        self._generation = 0
        self._mutex = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="bucket-lock")

    @classmethod
    def take(cls, bucket: Any, name: str, explained: Explained, expired: int | None) -> GcsLock:
        """Raises BusyError if another process holds it, unless `expired` is its generation."""
        lock = cls(bucket, name, explained)
        lock._generation = expired or 0
        with explained():
            if not lock._renew():
                other = bucket.get_blob(name)
                if other is None:
                    raise BusyError("another process")
                if not _is_kept(other):
                    holder = (other.metadata or {}).get(_HOLDER, "another process")
                    raise BusyError(holder, other.generation)
                # Its holder can neither rewrite nor remove it, so it says nothing. Whoever it is
                # loses nothing: all that is in this bucket is kept.
                lock._generation = other.generation
        lock._thread.start()
        return lock

    def check(self) -> None:
        with self._explained(), self._mutex:
            if not self._renew():
                raise LockLostError(
                    f"gs://{self._bucket.name}/{self._name} was taken over by another process, "
                    "since this one gave no sign of life; run again"
                )

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()
        # One that cannot be deleted expires: what was done under it is done.
        with contextlib.suppress(*_FAILURES):
            self._bucket.blob(self._name).delete(
                if_generation_match=self._generation, timeout=_TIMEOUT_SECONDS
            )

    def _keep(self) -> None:
        while not self._stopped.wait(_REFRESH_SECONDS):
            # `check` says so before anything depends on it.
            with contextlib.suppress(Exception):
                self.check()

    def _renew(self) -> bool:
        """Replaces the object that this process wrote last, or creates it; False if it cannot."""
        blob = self._bucket.blob(self._name)
        blob.metadata = {_HOLDER: this_process(), _TOKEN: self._token}
        try:
            blob.upload_from_string(
                f"{this_process()} is publishing or deleting this model\n",
                if_generation_match=self._generation,
                timeout=_TIMEOUT_SECONDS,
            )
        except PreconditionFailed:
            # Also what a repeated request is told if the response to its first try was lost.
            blob = self._bucket.get_blob(self._name)
            if blob is None or (blob.metadata or {}).get(_TOKEN) != self._token:
                return False
        except Forbidden as error:
            if retention(error) is None:
                raise
            # Nobody else can replace it either, and nothing can be removed from this bucket.
            blob = self._bucket.get_blob(self._name)
            if blob is None or blob.generation != self._generation:
                return False
        self._generation = blob.generation
        return True
