"""How the program ends when the engine interrupts it, because a resource failed or on Ctrl-C.

The engine shows why, and then sends SIGINT. Python's traceback of that would hide the reason.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

_REASON_IS_SHOWN = 32
"""The exit code with which Pulumi's own runtime for Python says so."""


def end_quietly_when_interrupted() -> None:
    """Only where an engine runs the program: in a test, SIGINT is for the test."""
    if "PULUMI_CONFIG" in os.environ:
        signal.signal(signal.SIGINT, _end)


def _end(_signal: int, _frame: FrameType | None) -> None:
    os._exit(_REASON_IS_SHOWN)
