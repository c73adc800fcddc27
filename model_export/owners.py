"""Owners of a published model: a marker file for each Pulumi resource that uses it.

Folders are named by the model's inputs, so two stacks, or a resource and its pending replacement,
can share one. The last owner to go deletes it.

A claim is known by its token, which the resource's state keeps: the owner's name only tells people
who it is, for a stack can be renamed, and two can have one name. Claim first and look second: then
whoever deletes, with the folder's lock held, sees every claim on what was found there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

from model_export.storage import RetainedError, Storage, StorageError

FOLDER = "owners"


def claim(storage: Storage, owner: str, token: str) -> None:
    """Marks the model as needed by owner, who is creating the resource."""
    _write(storage, owner, token, is_pending=True)


def confirm(storage: Storage, owner: str, token: str) -> None:
    """Makes a claim that of a created resource. Hold the folder's lock.

    Pending claims of the same owner are of creates that were interrupted: they are withdrawn.
    """
    with contextlib.suppress(RetainedError):
        _write(storage, owner, token, is_pending=False)
        for path, found in _markers(storage).items():
            if found.get("pending") is True and found.get("owner") == owner:
                storage.delete(path)


def release(storage: Storage, token: str) -> None:
    """Withdraws the claim with that token, whatever its owner was called; no error if none is."""
    for path, found in _markers(storage).items():
        if found.get("token") == token:
            storage.delete(path)


def withdraw(storage: Storage, token: str) -> None:
    """Releases the claim of a create that failed, as far as that is possible."""
    with contextlib.suppress(StorageError, OSError):
        release(storage, token)
        storage.remove_empty_folders()


def owners(storage: Storage) -> list[str]:
    """The names of all owners with a claim, sorted."""
    return sorted({str(found.get("owner", "unknown")) for found in _markers(storage).values()})


def remove_all(storage: Storage) -> None:
    """Withdraws all claims."""
    for path in _markers(storage):
        storage.delete(path)


def _write(storage: Storage, owner: str, token: str, *, is_pending: bool) -> None:
    name = hashlib.sha256(token.encode()).hexdigest()[:16]
    content = {"owner": owner, "token": token} | ({"pending": True} if is_pending else {})
    storage.write(f"{json.dumps(content)}\n".encode(), f"{FOLDER}/{name}.json")


def _markers(storage: Storage) -> dict[str, dict[str, Any]]:
    """Every claim by its path, however the marker is named; empty for one that cannot be read."""
    found: dict[str, dict[str, Any]] = {}
    for path in storage.sizes():
        if path.startswith(f"{FOLDER}/"):
            content = storage.read(path)
            if content is not None:
                found[path] = _parsed(content)
    return found


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
