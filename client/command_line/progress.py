"""The progress of a run, with the remaining time: shown once it has lasted two seconds.

The time per picture is unknown until the first one is finished: until then a spinner shows the
elapsed time, after that an estimate. Where standard error is not a terminal, plain lines are
printed at intervals.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TextIO

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

    @contextmanager
    def picture(self) -> Generator[None]:
        """Within the block, the display shows the picture's progress."""
        self._picture_started = time.monotonic()
        with shown(self.line, self._stream, self._show_from):
            yield
        self._finished_seconds.append(time.monotonic() - self._picture_started)

    def line(self) -> str:
        """The display's current text."""
        elapsed_seconds = time.monotonic() - self._picture_started
        number = len(self._finished_seconds) + 1
        parts = [f"picture {number} of {self._total}", f"{elapsed_seconds:.0f} s"]
        remaining_seconds = self._estimate_seconds(elapsed_seconds)
        if remaining_seconds is not None:
            parts.append(f"about {remaining_seconds:.0f} s left")
        return ", ".join(parts)

    def _estimate_seconds(self, elapsed_seconds: float) -> float | None:
        """Time left for this picture and those after it, by the mean of the finished ones."""
        if not self._finished_seconds:
            return None
        mean_seconds = sum(self._finished_seconds) / len(self._finished_seconds)
        after_this = self._total - len(self._finished_seconds) - 1
        return max(mean_seconds - elapsed_seconds, 0.0) + mean_seconds * after_this


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
            print(line(), file=stream, flush=True)
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
    spinner = Spinner("dots")

    def frame() -> Spinner:
        spinner.update(text=line())
        return spinner

    return Live(
        get_renderable=frame,
        console=console,
        transient=True,
        refresh_per_second=REDRAWS_PER_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
    )
