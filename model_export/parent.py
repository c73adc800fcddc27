"""Ending with the process that started us, however it ends.

The parent holds the other end of our standard input and never writes to it. When it goes, even by
SIGKILL, the operating system closes the pipe, and the read here returns. Works on every system.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

_GRACE_SECONDS = 5.0
_INTERRUPTED_EXIT_CODE = 130


def exit_with_parent() -> None:
    """From here on, the end of standard input is a SIGTERM to this process.

    If the main thread does not get to it in time (it may be deep in TensorFlow), the process ends
    at once; what it leaves is for the next run to clean up.
    """
    threading.Thread(target=_watch, daemon=True, name="exit-with-parent").start()


def _watch() -> None:
    # Below Python's buffered stdin, whose lock would hold up the interpreter's exit.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    # To the main thread itself, so that a blocking call there wakes up.
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(_INTERRUPTED_EXIT_CODE)
