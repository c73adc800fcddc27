"""The service started from its image's layer by the Python of the tests, without their packages."""

from __future__ import annotations

import sys
from pathlib import Path

_START = """
import runpy, sys
sys.path[:0] = [{app!r}, {site!r}]
runpy.run_module("web", run_name="__main__", alter_sys=True)
"""


def alone(layer: Path) -> list[str]:
    """The command. layer: the folder with its files."""
    code = _START.format(app=str(layer / "app"), site=str(layer / "app" / "site"))
    return [sys.executable, "-I", "-S", "-c", code]
