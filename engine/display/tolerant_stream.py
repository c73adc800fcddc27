"""A terminal that may be closed while a deployment goes on."""

from __future__ import annotations

import contextlib
from typing import TextIO


class TolerantStream:
    """A stream that ignores write errors, so that a closed terminal does not abort a deployment."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()
