"""A process that draws on request, like `bench.speed.worker`."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Sequence
from typing import Any

from bench.export_cost import ROOT

STOP_SECONDS = 30


class Drawer:
    """Starts the process and waits until it has drawn its first picture.

    Raises CalledProcessError, here and in draw, if the process ends.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        try:
            started = self._answer()
        except BaseException:
            self.close()
            raise
        self.load_seconds: float = started["load_seconds"]
        self.ready_seconds: float = started["ready_seconds"]
        self.peak_bytes = 0

    def draw(self, steps: int) -> float:
        """Draws a picture of this many steps; returns its seconds."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the missing answer shows it
            self._process.stdin.write(f"{steps}\n")
            self._process.stdin.flush()
        answer = self._answer()
        self.peak_bytes = answer["peak_bytes"]
        return answer["seconds"]

    def close(self) -> None:
        """Ends the process, which may be gone already."""
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise subprocess.CalledProcessError(self._process.wait(), self._process.args)
        return json.loads(line)
