"""The pod's commands, to be run on this machine."""

from __future__ import annotations

from pathlib import Path

from serving.tensorflow_serving.flags import CONFIG_FOLDER
from serving.tensorflow_serving.scripts import FOLDER


def mounted(command: list[str], scripts: Path = FOLDER) -> list[str]:
    """The command as it would run where the scripts, this checkout's own, are mounted."""
    return [part.replace(CONFIG_FOLDER, str(scripts)) for part in command]
