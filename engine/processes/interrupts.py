"""Ctrl-C and SIGTERM: the first lets the current step finish, the second exits immediately."""

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

_SAME_INTERRUPT_SECONDS = 0.5


class _Display(Protocol):
    """The display of the running operation."""

    def in_flight(self) -> str: ...

    def notice(self, text: str) -> bool: ...

    def restore_terminal(self) -> None: ...


class Interrupts:
    """Handles interrupts while an operation runs."""

    def __init__(self) -> None:
        self.requested = False
        self.is_exiting = False  # what a killed provider says must not get into the state
        # SimpleQueue.put is reentrant, so the signal handler may call it at any time.
        self._listener: queue.SimpleQueue[str] | None = None
        self._display: _Display | None = None
        self._lock_file: Path | None = None
        self._raises = False
        self._requested_at = 0.0

    def watch(self, display: _Display, lock_file: Path | None) -> None:
        """display: of the running operation. lock_file: removed on an immediate exit."""
        self._display = display
        self._lock_file = lock_file

    @contextlib.contextmanager
    def notify(self, listener: queue.SimpleQueue[str]) -> Generator[None]:
        """Put `interrupted` into the queue on an interrupt, past ones included."""
        self._listener = listener
        if self.requested:
            listener.put("interrupted")
        try:
            yield
        finally:
            self._listener = None

    def raise_if_interrupted(self) -> None:
        """Called before each step; raises StepFailedError after an interrupt."""
        if self.requested:
            raise StepFailedError("interrupted")

    def raise_if_requested(self, message: str) -> None:
        if self.requested:
            raise CancelledError(message)

    @contextlib.contextmanager
    def raising(self) -> Generator[None]:
        """Raise CancelledError from the signal handler, during a prompt."""
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    @contextlib.contextmanager
    def handled(self) -> Generator[None]:
        """Handle the signals while an operation runs.

        Like the official CLI, it handles SIGINT and SIGTERM even if the process was started with
        them ignored, as a script's background job is. An ignored SIGHUP stays ignored: the command
        was run with nohup, to outlive its terminal.
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
            # The terminal and a parent such as make may both send the same interrupt.
            if time.monotonic() - self._requested_at > _SAME_INTERRUPT_SECONDS:
                self._exit_immediately()
            return
        self.requested = True
        self._requested_at = time.monotonic()
        step = self._display.in_flight() if self._display else ""
        if self._display and step:
            text = f"finishing the current step ({step}); interrupt again to exit immediately"
            if not self._display.notice(f"interrupted: {text}"):
                _write_stderr(f"\ninterrupted: {text}\n")
        if self._listener is not None:
            self._listener.put("interrupted")

    def _exit_immediately(self) -> None:
        self.is_exiting = True
        child_process.kill_all()
        if self._lock_file is not None:
            self._lock_file.unlink(missing_ok=True)
        step = self._display.in_flight() if self._display else ""
        if self._display:
            self._display.restore_terminal()
        _write_stderr(
            f"\nerror: exited{f' while {step}' if step else ''}; finished steps are saved. "
            "To continue, run the same command again\n"
        )
        os._exit(EXIT_CANCELLED)


def _write_stderr(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())
