"""The log, on standard error. What people write, above all their prompts, is never in it."""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType

SysExcInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class _Formatter(logging.Formatter):
    def formatException(self, ei: SysExcInfo) -> str:  # noqa: N802
        """Where it happened and the kind of error: its message may quote a request."""
        kind, error, _ = ei
        lines: list[str] = []
        while error is not None:
            frames = traceback.format_tb(error.__traceback__)
            lines.append("".join(frames) + f"{type(error).__module__}.{type(error).__qualname__}")
            error = error.__cause__ or error.__context__
        return "\n".join(lines) if kind else ""


def start() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # It tells of its own start and stop, which `server` says in this service's words.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
