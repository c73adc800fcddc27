"""The backend in effect, and the stacks whose state is in the checkout's `.state` folder.

That folder is for the stack `local`: it is lost with the checkout, and its secrets have an empty
passphrase. A new or copied cloud stack in it is refused; one that is already there goes on.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from infra import checkout
from infra.settings import project_file

_FILE_SCHEME = "file://"
_CHECKPOINT_SUFFIXES = (".json", ".json.gz", ".json.zst")


class BackendError(Exception):
    """A cloud stack is not to be deployed from the checkout's state folder; says what to do."""


def check(stack: str, state: Path, *, with_resources: bool = False) -> str:
    """A line on how to move a cloud stack's state if it is in `state`; otherwise nothing.

    Raises BackendError for a new stack, which with_resources includes one without resources, and
    for a copied one, whose resources are the original's.
    """
    name = stack.rpartition("/")[2]
    if not is_backend(state) or project_file.target(name) == "local":
        return ""
    checkpoint = stacks(state).get(name)
    if checkpoint is None or (with_resources and not _has_resources(checkpoint)):
        raise BackendError(
            f"stack {name} would keep its state in {state}, which is for the stack local alone: "
            "type `unset PULUMI_BACKEND_URL PULUMI_CONFIG_PASSPHRASE`, log in to a backend of "
            "your own (`pulumi login`), and run again"
        )
    if original := checkout.original_of(state):
        raise BackendError(
            f"the state of stack {name} in {state} is a copy of the one in {original}, with the "
            f"same resources: deploy and destroy it there, in {original.parent}"
        )
    return (
        f"stack {name} keeps its state in {state}, which is for the stack local alone: move it, by "
        "`pulumi stack export`, `pulumi login` to a backend of your own, and `pulumi stack import` "
        'there; the commands are in docs/gke.md, under "A state in .state"'
    )


def refuse_new_cloud_state(state: Path) -> None:
    """`check` for a program of a cloud stack, which may run without make. Warns or ends it."""
    if "PULUMI_CONFIG" not in os.environ:  # the CLI's language host sets it; a mock has no backend
        return
    import pulumi

    try:
        line = check(pulumi.get_stack(), state, with_resources=True)
    except BackendError as error:
        raise pulumi.RunError(str(error)) from None
    if line and "MAKELEVEL" not in os.environ:  # make has said it
        pulumi.log.warn(line)


def stacks(state: Path) -> dict[str, Path]:
    """The checkpoints in a state folder by the stack's name; PROJECT/NAME for other projects."""
    found: dict[str, Path] = {}
    for suffix in _CHECKPOINT_SUFFIXES:
        for file in sorted((state / ".pulumi/stacks").glob(f"*/*{suffix}")):
            name, project = file.name.removesuffix(suffix), file.parent.name
            found[name if project == project_file.project_name() else f"{project}/{name}"] = file
    return found


def is_backend(state: Path) -> bool:
    """Whether `state` is the backend of the Pulumi CLI, which PULUMI_BACKEND_URL, Pulumi.yaml or
    `pulumi login` names, in this order.
    """
    url = os.environ.get("PULUMI_BACKEND_URL") or project_file.backend_url() or _logged_in()
    if not url.startswith(_FILE_SCHEME):
        return False
    path = url.removeprefix(_FILE_SCHEME).partition("?")[0]
    folders = (_expanded(text) for text in (path, unquote(path)))
    return any(folder.resolve() == state.resolve() for folder in folders)


def _logged_in() -> str:
    home = _expanded(os.environ.get("PULUMI_HOME") or "~/.pulumi")
    try:
        content = json.loads((home / "credentials.json").read_text(encoding="utf-8"))
        return str(content["current"] or "")
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no HOME, and a user that the system does not know
        return Path(path)


def _has_resources(checkpoint: Path) -> bool:
    """Whether there is more in the stack than its root."""
    if checkpoint.suffix != ".json":
        return True  # compressed
    try:
        content: Any = json.loads(checkpoint.read_text(encoding="utf-8"))
        latest = cast("dict[str, Any] | None", content["checkpoint"]["latest"]) or {}
        resources = cast("list[dict[str, Any]]", latest.get("resources") or [])
        return any(resource["type"] != "pulumi:pulumi:Stack" for resource in resources)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return True
