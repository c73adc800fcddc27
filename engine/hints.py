"""Commands in messages, such that they work as typed."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

_STARTED_IN = Path.cwd()  # --cwd changes it
_VARIABLE = "ENGINE_HINT_"


def command(verb: str, stack: str) -> str:
    """What to type to run `verb` on the stack; empty if there is nothing to type.

    A program that runs the engine for its users, such as make, names a command of its own in
    ENGINE_HINT_ and the verb (ENGINE_HINT_STACK_RM), or an empty one.
    """
    own = os.environ.get(_VARIABLE + verb.upper().replace(" ", "_"))
    if own is not None:
        return own
    # Whether the shell has exported it is unknown: it may have been set for one command only.
    backend = os.environ.get("PULUMI_BACKEND_URL")
    words = [f"PULUMI_BACKEND_URL={shlex.quote(backend)}"] if backend else []
    words += [program(), verb, "--stack", stack]
    if Path.cwd() != _STARTED_IN:
        words += ["--cwd", shlex.quote(str(Path.cwd()))]
    return " ".join(words)


def program() -> str:
    """How this engine is started: with the virtual environment's Python if it is not activated."""
    python = Path(sys.executable)
    for name in ("python", "python3"):
        found = shutil.which(name)
        # Not `samefile`: the Python of an environment is a link to the system's.
        if found and Path(found).absolute() == python:
            return f"{name} -m engine"
    if python.is_relative_to(_STARTED_IN):
        python = python.relative_to(_STARTED_IN)
    return f"{shlex.quote(str(python))} -m engine"
