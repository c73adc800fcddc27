"""Content by its digest, read from a file or from memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Blob:
    """content: where it is; None for what is only in a registry."""

    digest: str
    size: int
    content: Path | bytes | None = None

    @classmethod
    def of_bytes(cls, content: bytes) -> Blob:
        return cls(f"sha256:{sha256(content).hexdigest()}", len(content), content)

    def reader(self) -> BinaryIO:
        if isinstance(self.content, Path):
            return self.content.open("rb")
        return io.BytesIO(self.content or b"")


class BlobReader:
    """A request's body: of a known length, never whole in memory, and ended by `check`."""

    def __init__(self, blob: Blob, check: Callable[[], None]) -> None:
        self._size, self._check = blob.size, check
        self._file = blob.reader()

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1, /) -> bytes:
        self._check()
        return self._file.read(size)

    def __iter__(self) -> Iterator[bytes]:
        while part := self.read(_CHUNK_BYTES):
            yield part

    def close(self) -> None:
        self._file.close()
