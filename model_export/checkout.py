"""Which checkout a local file belongs to.

A copied checkout (`cp -a A B`) has a copy of A's state too, and that names A's files by their
absolute paths. What lies in A's state folder is A's, whoever's state names it.
"""

from __future__ import annotations

from pathlib import Path

STATE_FOLDER = Path(__file__).resolve().parents[1] / ".state"
"""This checkout's folder for the stack `local`: its state, models, and server."""


def lies_in_another_checkout(path: Path, own: Path = STATE_FOLDER) -> bool:
    """Whether path is in a state folder that exists and is not `own`.

    After a move of the checkout the old folder is gone, so nothing lies in it.
    """
    homes = [folder for folder in (path, *path.parents) if folder.name == own.name]
    if not homes or not homes[0].is_dir():
        return False
    return not (own.is_dir() and homes[0].samefile(own))
