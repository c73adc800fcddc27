"""How a command of this project is typed, for its help texts and messages."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def started_as(module: str) -> str:
    """`python -m module`, with the virtual environment's Python if that is not activated."""
    python = Path(sys.executable)
    for name in ("python", "python3"):
        found = shutil.which(name)
        # Not `samefile`: the Python of an environment is a link to the system's.
        if found and Path(found).absolute() == python:
            return f"{name} -m {module}"
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    return f"{shlex.quote(str(python))} -m {module}"
