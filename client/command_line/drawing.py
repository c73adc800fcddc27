"""Drawing a command's pictures: progress, and asking again where that may help."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import TypedDict, TypeVar, Unpack

from client.command_line.connection import Service
from client.command_line.progress import Progress
from client.pictures.picture import Picture
from client.stacks.starting import USUAL_START_SECONDS, running_seconds
from prediction.errors import ClientError, ModelLoadingError, printable
from prediction.limits import PictureRequest

T = TypeVar("T")


class PictureValues(TypedDict, total=False):
    """`Client.prepare`'s options."""

    negative_prompt: str | None
    num_steps: int | None
    guidance_scale: float | None
    seed: int | None


class Drawing:
    """Draws one command's `total` pictures, as its options --no-retry and --no-wait say."""

    def __init__(self, service: Service, arguments: argparse.Namespace, total: int = 1) -> None:
        self._client = service.client
        self._retry: bool = not arguments.no_retry
        self._wait: bool = not arguments.no_wait
        self._stack: str = "" if arguments.endpoint else arguments.stack
        self._progress = Progress(total, sys.stderr)
        self._is_loading = False
        self._is_total: bool = arguments.timeout is not None
        self._used_seconds = service.waited_seconds if self._is_total else 0.0
        """How much of --timeout is gone before the first picture."""

    def prepare(self, prompt: str, **values: Unpack[PictureValues]) -> PictureRequest:
        """As `Client.prepare`. The model is asked for its limits: that may mean waiting too."""
        with self._progress.preparation():
            self._patiently(self._client.describe)
        return self._client.prepare(prompt, **values)

    def draw(self, request: PictureRequest) -> Picture:
        """One picture. Each wait is announced by a line on standard error."""
        with self._progress.picture():
            picture = self._patiently(lambda seconds: self._send(request, seconds))
        self._used_seconds = 0.0
        return picture

    def _send(self, request: PictureRequest, timeout_seconds: float) -> Picture:
        self._progress.tell(None)
        return self._client.send(request, timeout_seconds, self._progress.tell)

    def _patiently(self, call: Callable[[float], T]) -> T:
        started = time.monotonic()
        result = self._repeatedly(call, self._client.timeout_seconds - self._used_seconds)
        if self._is_total:
            self._used_seconds += time.monotonic() - started
        return result

    def _repeatedly(self, call: Callable[[float], T], timeout_seconds: float) -> T:
        if not self._retry:
            return call(max(timeout_seconds, 0.001))
        from client.retry import until_deadline  # tenacity takes 0.1 s to import

        self._is_loading = False
        return until_deadline(
            self._client,
            call,
            timeout_seconds=timeout_seconds,
            before_retry=self._announce,
            sleep=self._sleep,
            wait_for_server=self._wait,
        )

    def _announce(self, error: ClientError, wait_seconds: float) -> None:
        """Waiting for a model is one wait, however often the server is asked."""
        is_loading = isinstance(error, ModelLoadingError)
        if not is_loading:
            _note(f"{error}; asking again in {wait_seconds:.1f} s (--no-retry gives up)")
        elif not self._is_loading:
            _note(f"{error}; waiting for it (--no-wait gives up)")
        self._is_loading = is_loading
        if is_loading:
            self._progress.wait_for("the model", self._loading_seconds_left())

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)
        self._progress.wait_for("")

    def _loading_seconds_left(self) -> float | None:
        """An estimate, where it is known since when the server has been starting."""
        elapsed_seconds = running_seconds(self._stack)
        if elapsed_seconds is None or elapsed_seconds >= USUAL_START_SECONDS:
            return None
        return USUAL_START_SECONDS - elapsed_seconds


def _note(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
