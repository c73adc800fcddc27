"""Says how far the reading of a large file is, where that takes more than two seconds."""

from __future__ import annotations

import sys
import time
from pathlib import Path

_FIRST_SECONDS, _NEXT_SECONDS = 2.0, 10.0


class ReadingReport:
    """Called with the number of bytes that are done. Writes to standard error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began = time.monotonic()
        self._due = self._began + _FIRST_SECONDS

    def __call__(self, done_bytes: int) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _NEXT_SECONDS
        size_bytes = self._path.stat().st_size
        share = f"{done_bytes / size_bytes:.0%} of {size_bytes / 1e9:.1f} GB"
        seconds_left = max(0.0, (now - self._began) * (size_bytes / done_bytes - 1))
        print(
            f"reading {self._path.name} for its checksum: {share}, about {seconds_left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
