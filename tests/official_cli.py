"""The official Pulumi CLI in a folder of its own: its backend, its home, and small programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from render.recorder import ROOT


def cli_environment(folder: Path) -> dict[str, str]:
    """For `pulumi` and the programs that it runs, which may import this project."""
    backend = folder / "backend"
    backend.mkdir(exist_ok=True)
    return {
        **os.environ,
        "PULUMI_BACKEND_URL": backend.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PYTHONPATH": str(ROOT),
    }


def write_program(folder: Path, name: str, program: str) -> None:
    """A project `name` with this program, run by the Python that runs the tests."""
    (folder / "Pulumi.yaml").write_text(
        f"name: {name}\nruntime:\n  name: python\n  options: {{virtualenv: {sys.prefix}}}\n"
    )
    (folder / "__main__.py").write_text(program)
