"""What runs in the pod, in bash: the stock image has bash, coreutils and openssl, and no more.

The scripts lie in the pod's configuration, beside the server's files.
"""

from __future__ import annotations

from pathlib import Path

from serving.tensorflow_serving.flags import CONFIG_FOLDER

FOLDER = Path(__file__).parent
_BASH = "/bin/bash"


def script_files() -> dict[str, str]:
    """The text of each script, by its file name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.sh"))}


def bash_command(script: str, *arguments: object) -> list[str]:
    """A command line for the pod."""
    return [_BASH, f"{CONFIG_FOLDER}/{script}.sh", *map(str, arguments)]
