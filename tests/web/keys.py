"""Keys for services under test, and the files that hold their hashes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

ALICE, BOB, CAROL = "alices-key:0123456789", "bobs-key-0123456789AB", "carols-key-0123456789"
WRONG = "nobodys-key-0123456789"


def document(*entries: tuple[str, str]) -> str:
    """What stands in the file for these names and keys."""
    keys = [
        {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest()} for name, key in entries
    ]
    return json.dumps({"keys": keys})


def write(path: Path, *entries: tuple[str, str]) -> Path:
    """Replaces the file in one go."""
    beside = path.with_suffix(".new")
    beside.write_text(document(*entries))
    beside.rename(path)
    return path


def mount(folder: Path, version: str, *entries: tuple[str, str]) -> Path:
    """As Kubernetes does it: the file is a link into `..data`, itself a link to a folder, which is
    exchanged for the next one's."""
    versioned = folder / version
    versioned.mkdir(parents=True)
    (versioned / "keys.json").write_text(document(*entries))
    link = folder / "..data"
    fresh = folder / "..data_tmp"
    fresh.symlink_to(version)
    old = link.resolve() if link.is_symlink() else None
    os.replace(fresh, link)  # noqa: PTH105
    if old is not None:
        (old / "keys.json").unlink()
        old.rmdir()
    file = folder / "keys.json"
    if not file.is_symlink():
        file.symlink_to("..data/keys.json")
    return file


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}
