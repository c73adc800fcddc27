"""Exits when the parent process ends, however it ends.

The parent holds the other end of our standard input and never writes to it. When it ends, even by
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
    """Sends this process a SIGTERM when standard input ends.

    If the main thread does not react in time (it may be deep in TensorFlow), the process exits at
    once; the next run cleans up what it leaves.
    """
    threading.Thread(target=_watch, daemon=True, name="exit-with-parent").start()


def _watch() -> None:
    # Bypasses Python's buffered stdin, whose lock would block the interpreter's exit.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    # Sent to the main thread, so that a blocking call there wakes up.
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(_INTERRUPTED_EXIT_CODE)
