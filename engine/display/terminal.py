"""Whether output goes to an interactive terminal that can update lines in place."""

from __future__ import annotations

import os
from typing import TextIO

_NO = ("", "0", "false")


def is_live(stream: TextIO) -> bool:
    """Whether the stream is a terminal that can move its cursor, outside of CI."""
    return (
        stream.isatty()
        and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
        and os.environ.get("CI", "").lower() in _NO
        and (stream.encoding or "").lower().replace("-", "") == "utf8"
    )
