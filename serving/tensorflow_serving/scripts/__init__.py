"""What runs inside the pod, in bash: the stock image has bash, coreutils and openssl, no more."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent
_BASH = "/bin/bash"


def bash_command(*names: str, arguments: tuple[object, ...] = ()) -> list[str]:
    """A command line that runs the named scripts as one, with the arguments as $1, $2 and so on."""
    text = "\n".join((_FOLDER / f"{name}.sh").read_text() for name in names)
    return [_BASH, "-c", text, names[-1], *map(str, arguments)]
