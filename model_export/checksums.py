"""SHA-256 of large files, cached by path, size and times of change."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

_CHUNK_BYTES = 1 << 20

OnBytes = Callable[[int], None]
"""Called with the number of bytes that are done."""


class Checksums:
    """Checksums cached in a file; if that file is missing or damaged, the cache starts empty.

    The modification time alone is not enough: copies and archives set it, and many models have the
    same size. The time of the last change to the file or its entry cannot be set.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory

    def sha256(self, path: Path, on_bytes: OnBytes = lambda _done: None) -> str:
        """The checksum of path, in hexadecimal digits. Raises OSError if it cannot be read."""
        key = str(path.resolve())
        before = _identity(path)
        known = self._read().get(key)
        if isinstance(known, list) and known[:-1] == before:
            on_bytes(before[0])
            return str(known[-1])
        found = sha256_of(path, on_bytes)
        if _identity(path) == before:
            self._write(self._read() | {key: [*before, found]})
        return found

    def _read(self) -> dict[str, object]:
        try:
            known = json.loads(self._memory.read_bytes())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self, known: dict[str, object]) -> None:
        # What cannot be cached is computed again.
        with contextlib.suppress(OSError):
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._memory.parent, prefix=".checksums-")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(known, file)
            Path(name).replace(self._memory)


def sha256_of(path: Path, on_bytes: OnBytes = lambda _done: None) -> str:
    """The checksum of a file's content in hexadecimal digits. Reads the file in chunks."""
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            on_bytes(done)
    return digest.hexdigest()


def _identity(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
