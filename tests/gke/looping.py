"""The steps of the stand-ins, over and over while a test runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator

import httpx

_PAUSE_SECONDS = 0.2


@contextlib.contextmanager
def looping(*steps: Callable[[], object]) -> Generator[None]:
    """Calls the steps over and over, each in a thread."""
    ended = threading.Event()

    def loop(step: Callable[[], object]) -> None:
        while not ended.wait(_PAUSE_SECONDS):
            # The objects change meanwhile.
            with contextlib.suppress(httpx.HTTPError):
                step()

    threads = [threading.Thread(target=loop, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
