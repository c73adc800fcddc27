"""The checkout's `.state` folder: what in it is the stack `local`'s, and what is not.

`python -m infra.local.state prepare --stack NAME` comes before make deploys, and
`python -m infra.local.state remove` after the stack `local` was destroyed.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from console import run_command, say
from console.invocation import started_as
from infra import backend, checkout
from infra.local.server_process import ServerProcess
from infra.local.server_record import RECORD_FILE, ServerRecord, is_locked
from infra.local.server_stop import ServerStopError
from infra.settings import project_file
from model_export import owners
from model_export.checkout import STATE_FOLDER, lies_in_another_checkout
from model_export.locks import BusyError, remove_free_locks
from model_export.staging import remove_abandoned
from model_export.storage import FileStorage

LOCAL_STACK = "local"
_SERVERS = {
    "web": "dynamic/diffusion:LocalWebService",
    "server": "dynamic/diffusion:LocalModelServer",
}
"""The types of the servers' resources, by the names of their state folders."""
_KEPT_UNTIL_LAST = {".pulumi/meta.yaml", ".pulumi/meta.yaml.attrs", checkout.RECORD_NAME}
"""Files that are of no use without a stack."""


def prepare(stack: str, state: Path = STATE_FOLDER) -> str:
    """Make `.state` ready for a deployment of the stack; returns a line to show, or nothing.

    In a copied checkout the stack `local` starts anew, since the copied state is the original's.
    Raises backend.BackendError for a cloud stack that would put its state here.
    """
    if stack != LOCAL_STACK:
        line = backend.check(stack, state)
        return f"warning: {line}" if line else ""
    original = checkout.original_of(state)
    if original is not None:
        _remove_stack_files(state)
    if take_over(state):
        _withdraw_claims(state / "models")
    if original is None:
        return ""
    return (
        f"note: this checkout is a copy of {original.parent}, which keeps its stack, servers and "
        f"model; here the stack {LOCAL_STACK} starts anew, and needs ports of its own in "
        f"Pulumi.{LOCAL_STACK}.yaml (docs/serving.md)"
    )


def take_over(state: Path) -> bool:
    """Record the folder as this checkout's own, and forget another's servers in a copied one.

    Returns whether the folder was copied or moved.
    """
    for name in _SERVERS:
        _forget_copied_server(state / name)
    return checkout.adopt(state)


def _forget_copied_server(folder: Path) -> None:
    """Remove a copied record of another checkout's server, so that nothing stops that server."""
    path = folder / RECORD_FILE
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            record = ServerRecord.parse(file.read())
            locked = is_locked(file)  # by the server: a copy is another file, unless it is a link
    except OSError:
        return
    if checkout.original_of(folder.parent) is not None or (
        record is not None
        and not locked
        and lies_in_another_checkout(Path(record.serves), folder.parent)
    ):
        path.unlink(missing_ok=True)


def remove(state: Path = STATE_FOLDER) -> str:
    """Remove what is the stack `local`'s, also after a killed deployment, and folders left empty.

    Returns a line about what stays, or nothing.
    """
    _remove_stack_files(state)
    for leftover in state.glob(checkout.TEMPORARY_FILES):
        leftover.unlink(missing_ok=True)
    others = backend.stacks(state)
    for name, type_ in _SERVERS.items():
        if not any(_may_have(type_, checkpoint) for checkpoint in others.values()):
            _forget_copied_server(state / name)
            ServerProcess(state / name).stop()
            shutil.rmtree(state / name, ignore_errors=True)
    _remove_models(state / "models")
    _remove_empty_folders(state)
    left = {file.relative_to(state).as_posix() for file in state.rglob("*") if not file.is_dir()}
    if not left - _KEPT_UNTIL_LAST:
        shutil.rmtree(state, ignore_errors=True)
        return ""
    if others:
        return f"note: {state.name} stays: it holds the state of {', '.join(others)}"
    return f"note: {state.name} stays: it holds other files, such as {min(left - _KEPT_UNTIL_LAST)}"


def _may_have(type_: str, checkpoint: Path) -> bool:
    if checkpoint.suffix != ".json":
        return True  # compressed
    return type_ in checkpoint.read_text(errors="replace", encoding="utf-8")


def _remove_stack_files(state: Path) -> None:
    """Remove the stack's checkpoint, locks, history and backups."""
    folder, project = state / ".pulumi", project_file.project_name()
    # A stack's name may contain periods, so `local.*` could be another one's.
    own = re.compile(
        rf"{LOCAL_STACK}\.(json|pulumi-tags)(\.gz|\.zst)?(\.bak)?(\.attrs|\.[^.]+\.engine-tmp)?"
    )
    for file in (folder / "stacks" / project).glob(f"{LOCAL_STACK}.*"):
        if own.fullmatch(file.name):
            file.unlink(missing_ok=True)
    for kind in ("history", "backups", "locks/organization"):
        shutil.rmtree(folder / kind / project / LOCAL_STACK, ignore_errors=True)
    for leftover in (folder / "locks/organization" / project).glob("*.engine-tmp"):
        leftover.unlink(missing_ok=True)


def _remove_models(folder: Path) -> None:
    """Remove the models that no other stack needs."""
    remove_abandoned(folder)
    for model, _ in _own_models(folder):
        shutil.rmtree(model, ignore_errors=True)
    remove_free_locks(folder)


def _withdraw_claims(folder: Path) -> None:
    """Withdraw the stack's claims on copied or moved models: its state names them elsewhere."""
    for _, storage in _own_models(folder):
        owners.remove_all(storage)
        storage.remove_empty_folders()


def _own_models(folder: Path) -> Iterator[tuple[Path, FileStorage]]:
    """The models that no other stack needs, each while its lock is held."""
    own = f"{project_file.project_name()}/{LOCAL_STACK}/"
    for model in folder.glob("[!.]*"):
        if not model.is_dir() or model.is_symlink():
            continue
        storage = FileStorage(model.as_uri())
        # A lock that is held is that of a process which publishes the model.
        with contextlib.suppress(BusyError), contextlib.closing(storage.try_lock()):
            if all(owner.startswith(own) for owner in owners.owners(storage)):
                yield model, storage


def _remove_empty_folders(state: Path) -> None:
    folders = [path for path in state.rglob("*") if path.is_dir() and not path.is_symlink()]
    for folder in sorted(folders, reverse=True):  # the inner ones first
        if not any(folder.iterdir()):
            folder.rmdir()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=started_as("infra.local.state"),
        description="Prepare the folder .state for a deployment, or remove what is the stack's.",
    )
    parser.add_argument("action", choices=["prepare", "remove"])
    parser.add_argument("--stack", default=LOCAL_STACK, help="the stack to deploy")
    options = parser.parse_args(arguments)
    try:
        line = prepare(options.stack) if options.action == "prepare" else remove()
    except (backend.BackendError, ServerStopError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if line:
        say(line)
    return 0


if __name__ == "__main__":
    run_command(main)
