"""The progress of a run, with the remaining time: shown once it has lasted two seconds.

A web service tells the place in its queue, the steps and the time left. A model server does not:
until the first picture is finished a spinner shows the elapsed time, after that an estimate. Where
standard error is not a terminal, plain lines are printed at intervals.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TextIO

from client.transports.progress import PictureProgress

QUIET_SECONDS = 2.0
PLAIN_LINE_SECONDS = 10.0
REDRAWS_PER_SECOND = 8


class Progress:
    """The display of one run of `total` pictures on `stream`.

    Each picture is drawn inside `with progress.picture():`. The display is gone at the end of
    the block, so that results can be printed between pictures.
    """

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        self._show_from = time.monotonic() + QUIET_SECONDS
        self._finished_seconds: list[float] = []
        self._picture_started = 0.0
        self._is_drawing = False
        self._waiting_for = ""
        self._waiting_ends: float | None = None
        self._told: PictureProgress | None = None
        self._told_at = 0.0

    @contextmanager
    def picture(self) -> Generator[None]:
        """Within the block, the display shows the picture's progress."""
        self._is_drawing = True
        with self.preparation():
            yield
        self._is_drawing = False
        self._finished_seconds.append(time.monotonic() - self._picture_started)

    @contextmanager
    def preparation(self) -> Generator[None]:
        """As `picture`, for what comes before it: only a wait is shown."""
        self._picture_started = time.monotonic()
        self.wait_for("")
        self.tell(None)
        with shown(self.line, self._stream, self._show_from):
            yield

    def wait_for(self, what: str, seconds_left: float | None = None) -> None:
        """Show that the picture waits for `what`, about `seconds_left` if known; "" for no wait."""
        self._waiting_for = what
        self._waiting_ends = None if seconds_left is None else time.monotonic() + seconds_left

    def tell(self, progress: PictureProgress | None) -> None:
        """Show how far the server says that the picture is; None for a server that says nothing."""
        self._told_at = time.monotonic()
        self._told = progress

    def line(self) -> str:
        """The display's current text; empty if there is nothing to show."""
        if not (self._is_drawing or self._waiting_for):
            return ""
        now = time.monotonic()
        elapsed_seconds = now - self._picture_started
        number = len(self._finished_seconds) + 1
        parts = [f"picture {number} of {self._total}", f"{elapsed_seconds:.0f} s"]
        if self._waiting_for:
            parts.insert(1, f"waiting for {self._waiting_for}")
            remaining_seconds = self._waiting_ends and self._waiting_ends - now
            if remaining_seconds is not None and remaining_seconds < 1:  # the estimate was wrong
                remaining_seconds = None
        else:
            told = self._told
            if told is not None:
                place = f"place {told.place} in the queue"
                parts.insert(1, place if told.place else f"step {told.step} of {told.steps}")
            remaining_seconds = self._estimate_seconds(elapsed_seconds, told)
        if remaining_seconds is not None:
            parts.append(f"about {remaining_seconds:.0f} s left")
        return ", ".join(parts)

    def _estimate_seconds(
        self, elapsed_seconds: float, told: PictureProgress | None
    ) -> float | None:
        """Time left for this picture and those after it: the server's estimate of this one, and the
        mean of the finished ones.
        """
        finished = self._finished_seconds
        this_seconds = None
        if told is not None and told.seconds_left is not None:
            told_for_seconds = time.monotonic() - self._told_at
            this_seconds = elapsed_seconds - told_for_seconds + told.seconds_left
        mean_seconds = sum(finished) / len(finished) if finished else this_seconds
        if mean_seconds is None:
            return None
        if this_seconds is None:
            this_seconds = mean_seconds
        left_seconds = max(this_seconds - elapsed_seconds, 0.0)
        left_seconds += mean_seconds * (self._total - len(finished) - 1)
        # A server whose estimate has run out goes on telling steps.
        return None if told is not None and left_seconds < 1 else left_seconds


@contextmanager
def shown(line: Callable[[], str], stream: TextIO, show_from: float) -> Generator[None]:
    """While this is open, `stream` shows `line()`, from the time `show_from` (monotonic) on."""
    finished = threading.Event()
    display = threading.Thread(
        target=_display, args=(line, stream, show_from, finished), daemon=True
    )
    display.start()
    try:
        yield
    finally:
        finished.set()
        display.join()


def _display(
    line: Callable[[], str], stream: TextIO, show_from: float, finished: threading.Event
) -> None:
    if finished.wait(max(show_from - time.monotonic(), 0.0)):
        return
    if _is_terminal(stream):
        with _spinner(line, stream):
            finished.wait()
    else:
        while True:
            if text := line():
                print(text, file=stream, flush=True)
            if finished.wait(PLAIN_LINE_SECONDS):
                return


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def _spinner(line: Callable[[], str], stream: TextIO) -> AbstractContextManager[object]:
    # Most runs end before they are two seconds old and never need rich.
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner

    console = Console(file=stream)
    if not console.is_terminal:
        return nullcontext()
    spinner = Spinner("dots" if console.encoding.startswith("utf") else "line")

    def frame() -> Spinner:
        spinner.update(text=line())
        return spinner

    return Live(
        get_renderable=frame,
        console=console,
        transient=True,
        refresh_per_second=REDRAWS_PER_SECOND,
        redirect_stdout=False,
        # What is printed meanwhile, such as a retry, appears above the spinner.
        redirect_stderr=stream is sys.stderr,
    )
