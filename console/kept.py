"""How a background server learns that its starter lives: a line on standard input.

The starter writes it once the server is ready and recorded. If the input closes before, the starter
has died, and the server stops: a killed deployment leaves no server behind.
"""

from __future__ import annotations

import os

KEEP_LINE = b"keep\n"


def is_kept() -> bool:
    """Wait for the line, or for the end of the input without it."""
    # Not through sys.stdin, whose lock a waiting thread would hold when the process ends.
    line = b""
    while len(line) < len(KEEP_LINE) and (part := os.read(0, len(KEEP_LINE) - len(line))):
        line += part
    return line == KEEP_LINE
