"""PyTorch's side of a comparison, in a process of its own: it shares no memory with TensorFlow."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

_PACKAGES = ("torch", "diffusers", "transformers", "peft")
_CHECKOUT = Path(__file__).parents[2]

needs_torch = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in _PACKAGES),
    reason=f"needs {', '.join(_PACKAGES)} (requirements-bench.txt)",
)


def run(module: str, *arguments: str | Path) -> None:
    """Runs a module of the tests by its name. Raises CalledProcessError if it fails."""
    command = [sys.executable, "-m", f"tests.model_export.{module}", *map(str, arguments)]
    subprocess.run(command, cwd=_CHECKOUT, check=True)
