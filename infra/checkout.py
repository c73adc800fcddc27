"""Whose a checkout's state folder is: its own, or, in a copied checkout, the original's.

The folder records its own path and a random id. Where the recorded path still holds that id, this
folder is a copy; where it does not, the checkout was moved.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

RECORD_NAME = "checkout.json"
TEMPORARY_FILES = "checkout.*.tmp"
"""Left by a process that was killed in `adopt`."""


@dataclass(frozen=True)
class _Record:
    path: str
    id: str


def original_of(state_folder: Path) -> Path | None:
    """The state folder that this one is a copy of; None if it is the checkout's own."""
    record = _read(state_folder)
    if record is None:
        return None
    recorded = Path(record.path)
    there = _read(recorded)
    if there is None or there.id != record.id or recorded.samefile(state_folder):
        return None
    return recorded


def adopt(state_folder: Path) -> bool:
    """Record the folder as the checkout's own: a copy gets an id of its own.

    Returns whether it was recorded at another path.
    """
    state_folder.mkdir(parents=True, exist_ok=True)
    record = _read(state_folder)
    is_known = record is not None and original_of(state_folder) is None
    own = _Record(
        str(state_folder.resolve()), record.id if record and is_known else uuid.uuid4().hex
    )
    if own == record:
        return False
    file = state_folder / RECORD_NAME
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(asdict(own)) + "\n", encoding="utf-8")
    temporary.replace(file)
    return record is not None


def _read(state_folder: Path) -> _Record | None:
    try:
        content = json.loads((state_folder / RECORD_NAME).read_text(encoding="utf-8"))
        return _Record(path=str(content["path"]), id=str(content["id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
