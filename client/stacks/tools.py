"""Asking `kubectl` and `gcloud`: run one, and read its JSON without trusting its shape."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import cast

from client.errors import one_line

ANSWER_TIMEOUT_SECONDS = 60.0

INSTALL = {
    "gcloud": "https://cloud.google.com/sdk/docs/install",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
    "gke-gcloud-auth-plugin": "gcloud components install gke-gcloud-auth-plugin",
}
"""Every tool that is asked, and where it comes from."""


class ToolError(Exception):
    """A tool is not there, or did not answer. The text is one line."""


def missing_tools() -> list[str]:
    """The tools that are not on PATH."""
    return [name for name in INSTALL if shutil.which(name) is None]


def ask(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """What `command` writes to standard output. Raises ToolError with the tool's own complaint."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_TIMEOUT_SECONDS,
            check=False,
        )
    except OSError as error:
        raise ToolError(f"cannot run {command[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"{command[0]} took longer than {ANSWER_TIMEOUT_SECONDS:g} s") from None
    if done.returncode != 0:
        raise ToolError(f"{command[0]} said: {_complaint(done.stderr)}")
    return done.stdout


def ask_json(command: Sequence[str], environment: Mapping[str, str]) -> object:
    """The same for a command that writes JSON."""
    text = ask(command, environment)
    try:
        return json.loads(text)
    except ValueError:
        raise ToolError(f"{command[0]} did not answer with JSON: {one_line(text)}") from None


def at(document: object, *path: str | int) -> object:
    """What lies at a path of keys and positions, or None where there is nothing."""
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
    """The text there, fit to show in a line; empty where there is none."""
    found = at(document, *path)
    return one_line(found) if isinstance(found, str) else ""


def number_at(document: object, *path: str | int) -> float | None:
    """The number there. Google's APIs write whole numbers of 64 bits as text."""
    found = at(document, *path)
    if isinstance(found, str):
        return float(found) if found.isdecimal() else None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def list_at(document: object, *path: str | int) -> list[object]:
    """The list there; empty where there is none."""
    found = at(document, *path)
    return cast("list[object]", found) if isinstance(found, list) else []


def _complaint(stderr: str) -> str:
    """gcloud says `ERROR: (…) …` after its warnings; kubectl's error is its last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return one_line((errors or lines or ["nothing"])[-1])
