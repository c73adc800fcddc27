"""Ctrl-C and SIGTERM: the first finishes the step in flight and stops, the second ends at once."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import time
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Protocol

from engine.deployment.steps import StepFailedError
from engine.errors import EXIT_CANCELLED, CancelledError
from engine.processes import child_process

_ONE_INTERRUPT_SECONDS = 0.5


class _Display(Protocol):
    """What is shown of an operation."""

    def in_flight(self) -> str: ...

    def notice(self, text: str) -> bool: ...

    def leave_at_once(self) -> None: ...


class Interrupts:
    """Whether, and how often, somebody has asked to stop."""

    def __init__(self) -> None:
        self.requested = False
        # SimpleQueue.put is reentrant, so the handler may call it whatever the main thread does.
        self._listener: queue.SimpleQueue[str] | None = None
        self._display: _Display | None = None
        self._lock_file: Path | None = None
        self._raises = False
        self._requested_at = 0.0

    def watch(self, display: _Display, lock_file: Path | None) -> None:
        """display: of the operation under way. lock_file: removed when ended at once."""
        self._display = display
        self._lock_file = lock_file

    @contextlib.contextmanager
    def notifying(self, listener: queue.SimpleQueue[str]) -> Generator[None]:
        """Put `interrupted` into the queue when it happens, or has happened."""
        self._listener = listener
        if self.requested:
            listener.put("interrupted")
        try:
            yield
        finally:
            self._listener = None

    def proceed(self) -> None:
        """Called before each step; raises once somebody has asked to stop."""
        if self.requested:
            raise StepFailedError("interrupted")

    def raise_if_requested(self, message: str) -> None:
        if self.requested:
            raise CancelledError(message)

    @contextlib.contextmanager
    def raised(self) -> Generator[None]:
        """Raise CancelledError at once, while a question waits for its answer."""
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    @contextlib.contextmanager
    def handled(self) -> Generator[None]:
        """Handle the signals while an operation runs.

        As by the official CLI, SIGINT and SIGTERM are taken even by a process that was started
        with them ignored, as a script's background job is: whoever sends them means it. A SIGHUP
        that is ignored stays so: the command was run with nohup, to outlive its terminal.
        """
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._raises:
            raise CancelledError("interrupted; nothing was changed")
        if self.requested:
            # A terminal and a parent such as make may both pass on one and the same interrupt.
            if time.monotonic() - self._requested_at > _ONE_INTERRUPT_SECONDS:
                self._end_at_once()
            return
        self.requested = True
        self._requested_at = time.monotonic()
        step = self._display.in_flight() if self._display else ""
        if self._display and step:
            text = f"finishing the step in flight ({step}); interrupt again to end at once"
            if not self._display.notice(f"interrupted: {text}"):
                _say(f"\ninterrupted: {text}\n")
        if self._listener is not None:
            self._listener.put("interrupted")

    def _end_at_once(self) -> None:
        child_process.kill_all_at_once()
        if self._lock_file is not None:
            self._lock_file.unlink(missing_ok=True)
        step = self._display.in_flight() if self._display else ""
        if self._display:
            self._display.leave_at_once()
        _say(
            f"\nerror: ended at once{f' while {step}' if step else ''}; what was finished is "
            "saved. To go on, type `python -m engine up`\n"
        )
        os._exit(EXIT_CANCELLED)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())
