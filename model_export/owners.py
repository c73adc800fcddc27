"""Owners of a published model: a marker file for each Pulumi resource that uses it.

Folders are named by the model's inputs, so two stacks, or a resource and its pending replacement,
can share one. The last owner to go deletes it.
"""

from __future__ import annotations

import hashlib
import json

from model_export.storage import Storage

_FOLDER = "owners"


def claim(storage: Storage, owner: str, token: str) -> None:
    """Marks the model as needed by owner, with a token that is unique to this claim.

    A later claim by the same owner replaces an earlier one, so that the claim of an interrupted
    create does not stay for ever.
    """
    content = json.dumps({"owner": owner, "token": token}) + "\n"
    storage.write(content.encode(), _marker(owner))


def release(storage: Storage, owner: str, token: str) -> None:
    """Withdraws the claim with that token; no error if a later one has replaced it."""
    content = storage.read(_marker(owner))
    if content is not None and _field(content, "token") == token:
        storage.delete(_marker(owner))


def owners(storage: Storage) -> list[str]:
    """All owners with a claim, sorted."""
    markers = [path for path in storage.sizes() if path.startswith(f"{_FOLDER}/")]
    return sorted(_field(storage.read(path) or b"", "owner") for path in markers)


def remove_all(storage: Storage) -> None:
    """Withdraws all claims."""
    for path in storage.sizes():
        if path.startswith(f"{_FOLDER}/"):
            storage.delete(path)


def _marker(owner: str) -> str:
    return f"{_FOLDER}/{hashlib.sha256(owner.encode()).hexdigest()[:16]}.json"


def _field(content: bytes, name: str) -> str:
    try:
        return str(json.loads(content)[name])
    except (ValueError, KeyError, TypeError):
        return "unknown"
