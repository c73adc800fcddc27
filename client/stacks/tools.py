"""Running `kubectl` and `gcloud`, and reading their JSON without trusting its shape."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import cast

from prediction.errors import one_line

TOOL_TIMEOUT_SECONDS = 60.0

INSTALL = {
    "gcloud": "https://cloud.google.com/sdk/docs/install",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
    "gke-gcloud-auth-plugin": "gcloud components install gke-gcloud-auth-plugin",
}
"""Every tool that is run, and where to get it."""


class ToolError(Exception):
    """A tool is missing or failed. The message is one line."""


def missing_tools() -> list[str]:
    """The tools that are not on PATH."""
    return [name for name in INSTALL if shutil.which(name) is None]


def tool_output(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """What `command` writes to standard output. Raises ToolError with the tool's error line."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TOOL_TIMEOUT_SECONDS,
            check=False,
        )
    except OSError as error:
        raise ToolError(f"cannot run {command[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"{command[0]} took longer than {TOOL_TIMEOUT_SECONDS:g} s") from None
    if done.returncode != 0:
        raise ToolError(f"{command[0]} failed: {_error_line(done.stderr)}")
    return done.stdout


def tool_json(command: Sequence[str], environment: Mapping[str, str]) -> object:
    """The JSON that `command` writes to standard output. Raises ToolError."""
    text = tool_output(command, environment)
    try:
        return json.loads(text)
    except ValueError:
        raise ToolError(f"{command[0]} did not print JSON: {one_line(text)}") from None


def at(document: object, *path: str | int) -> object:
    """The value at a path of keys and indices, or None."""
    for step in path:
        if isinstance(step, str) and isinstance(document, dict):
            document = cast("dict[str, object]", document).get(step)
        elif isinstance(step, int) and isinstance(document, list):
            found = cast("list[object]", document)
            document = found[step] if -len(found) <= step < len(found) else None
        else:
            return None
    return document


def text_at(document: object, *path: str | int) -> str:
    """The string at a path, made fit for one line; empty if there is none."""
    found = at(document, *path)
    return one_line(found) if isinstance(found, str) else ""


def number_at(document: object, *path: str | int) -> float | None:
    """The number at a path, or None. Google's APIs write 64-bit integers as strings."""
    found = at(document, *path)
    if isinstance(found, str):
        return float(found) if found.isdecimal() else None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def list_at(document: object, *path: str | int) -> list[object]:
    """The list at a path; empty if there is none."""
    found = at(document, *path)
    return cast("list[object]", found) if isinstance(found, list) else []


def _error_line(stderr: str) -> str:
    """gcloud prints `ERROR: (…) …` after its warnings; kubectl's error is its last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return one_line((errors or lines or ["no error message"])[-1])
