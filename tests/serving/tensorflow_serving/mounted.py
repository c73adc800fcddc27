"""The pod's commands, to be run on this machine."""

from __future__ import annotations

from serving.tensorflow_serving.flags import CONFIG_FOLDER
from serving.tensorflow_serving.scripts import FOLDER


def mounted(command: list[str]) -> list[str]:
    """The command as it would run where this checkout's scripts are mounted."""
    return [part.replace(CONFIG_FOLDER, str(FOLDER)) for part in command]
