"""Runs `python -m model_export` for a provider, which must not load TensorFlow itself."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from console import say

_CHECKOUT = Path(__file__).resolve().parents[1]
_STOP_SECONDS = 8.0
_ERROR_TAIL_LINES = 15


def run_exporter(arguments: Sequence[str]) -> None:
    """Prints its progress lines as they come. Raises RuntimeError if it fails."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "model_export", *arguments],
            cwd=_CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        try:
            for line in process.stdout:
                say(line.rstrip("\n"))
            code = process.wait()
        finally:
            _stop(process)
        if code != 0:
            errors.seek(0)
            # The embedded engine shows only the message of a RuntimeError.
            raise RuntimeError(_reason(errors.read(), code))


def _stop(process: subprocess.Popen[str]) -> None:
    """Stops an export that is still running; it deletes its temporary files."""
    if process.poll() is not None:
        return
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _reason(errors: str, code: int) -> str:
    """The exporter's own error line if it has one, else the end of its output."""
    lines = [line for line in errors.splitlines() if line.strip()]
    own = [line for line in lines if line.startswith("model_export: ")]
    if own:
        return own[-1].removeprefix("model_export: ")
    tail = "\n".join(lines[-_ERROR_TAIL_LINES:])
    return f"the export failed with exit code {code}\n{tail}".rstrip()
