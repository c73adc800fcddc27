"""The commands, and how each ends: the official CLI's, as far as they are built in."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from engine import errors, locks, workspace
from engine import snapshot as snapshots
from engine.arguments import parse
from engine.backend import Backend, StackFiles, parse_stack_name
from engine.display import Display
from engine.project import Project, find_project
from engine.values import PropertyMap, PropertyValue, Secret, contains, plain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code, the official CLI's."""
    options = parse(arguments)
    try:
        if options.cwd:
            os.chdir(options.cwd)
        _COMMANDS[options.command](options)
    except errors.OperationFailedError as failure:
        return failure.exit_code
    except errors.EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted; nothing was changed", file=sys.stderr)
        return errors.EXIT_CANCELLED
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return errors.EXIT_ERROR
    return 0


# -- which stack -------------------------------------------------------------------------------


def _project() -> Project:
    return find_project(workspace.working_directory())


def _stack_files(options: argparse.Namespace) -> StackFiles:
    """The files of the named or selected stack, which must exist."""
    project = _project()
    backend = Backend.open(project)
    named = getattr(options, "stack_name", "") or options.stack
    name = named or workspace.selected_stack(project, backend.url)
    if not name:
        raise errors.EngineError(
            "no stack selected; name one with -s, or select one with "
            "`python -m engine stack select --create NAME`"
        )
    return backend.existing_stack(parse_stack_name(name, project))


# -- operations --------------------------------------------------------------------------------


def _operate(kind: str, *, only_preview: bool = False) -> Callable[[argparse.Namespace], None]:
    def operate(options: argparse.Namespace) -> None:
        files = _stack_files(options)
        asks = not (only_preview or options.yes or options.skip_preview)
        if asks and (options.non_interactive or not sys.stdin.isatty()):
            raise errors.ConfigurationError(
                "--yes or --skip-preview must be passed in to proceed when running in "
                "non-interactive mode"
            )
        # Only operations need gRPC and Pulumi's SDK, which take long to import.
        from engine import interrupts as signals
        from engine import operations

        display = _display_form(options)
        interrupts = signals.Interrupts()
        what = operations.Options(
            yes=getattr(options, "yes", False),
            skip_preview=getattr(options, "skip_preview", False),
            refresh=getattr(options, "refresh", False),
            expect_no_changes=options.expect_no_changes,
            clear_pending_creates=getattr(options, "clear_pending_creates", False),
            message=options.message,
        )
        with interrupts.handled():
            if only_preview:
                stack = operations.Stack.open(files)
                operations.Operation(kind, stack, what, interrupts, None, display).preview()
                return
            with files.lock() as lock:
                stack = operations.Stack.open(files)
                operations.Operation(kind, stack, what, interrupts, lock, display).run()
        if kind == "destroy":
            print(
                "The resources in the stack have been deleted, but the history and configuration "
                "associated with the stack are still maintained.\nIf you want to remove the stack "
                f"completely, run `python -m engine stack rm {files.name}`."
            )

    return operate


def _display_form(options: argparse.Namespace) -> type[Display]:
    if options.diff:
        from engine.diff_display import DiffDisplay

        return DiffDisplay
    return Display


# -- stacks ------------------------------------------------------------------------------------


def _wanted_name(options: argparse.Namespace, project: Project) -> str:
    if options.stack_name and options.stack:
        raise errors.ConfigurationError("name the stack once: with -s, or without")
    name = options.stack_name or options.stack
    if not name:
        raise errors.ConfigurationError("name the stack, as in `python -m engine stack select dev`")
    return parse_stack_name(name, project)


def _create_stack(files: StackFiles) -> None:
    from engine.stack import open_crypters

    crypter = open_crypters(files.backend.project, files.name, "").config
    files.write_deployment(None)
    files.write_deployment(snapshots.dump(snapshots.Snapshot(), crypter))
    print(f"Created stack '{files.name}'", file=sys.stderr)


def _select(options: argparse.Namespace) -> None:
    project = _project()
    backend = Backend.open(project)
    files = backend.stack(_wanted_name(options, project))
    if not files.exists:
        if not options.create:
            backend.existing_stack(files.name)
        _create_stack(files)
    workspace.select_stack(project, backend.url, files.name)


def _init(options: argparse.Namespace) -> None:
    project = _project()
    backend = Backend.open(project)
    files = backend.stack(_wanted_name(options, project))
    if files.exists:
        raise errors.EngineError(f"stack 'organization/{project.name}/{files.name}' already exists")
    _create_stack(files)
    workspace.select_stack(project, backend.url, files.name)


def _output(options: argparse.Namespace) -> None:
    files = _stack_files(options)
    deployment = files.read_deployment()
    crypter = None
    if options.show_secrets:
        from engine.stack import open_crypters

        salt = snapshots.salt_of(deployment)
        crypter = (
            open_crypters(files.backend.project, files.name, salt).checkpoint if salt else None
        )
    root = snapshots.load(deployment, crypter).root_stack()
    outputs: PropertyMap = {
        key: plain(value) if options.show_secrets else _blinded(value)
        for key, value in sorted((root.outputs if root else {}).items())
    }
    if options.property and options.property not in outputs:
        raise errors.EngineError(
            f"current stack does not have output property '{options.property}'"
        )
    if options.json:
        shown = outputs[options.property] if options.property else outputs
        print(json.dumps(shown, indent=2, ensure_ascii=False, sort_keys=True))
    elif options.property:
        print(_as_text(outputs[options.property]))
    else:
        print(f"Current stack outputs ({len(outputs)}):")
        rows = [(f"    {key}", _as_text(value)) for key, value in outputs.items()]
        if rows:
            _print_table([("    OUTPUT", "VALUE"), *rows])
        else:
            print("    No output values currently in this stack")


def _blinded(value: PropertyValue) -> PropertyValue:
    if contains(value, lambda item: isinstance(item, Secret)):
        if isinstance(value, dict):
            return {key: _blinded(item) for key, item in value.items()}
        if isinstance(value, list):
            return [_blinded(item) for item in value]
        return snapshots.BLINDED
    return value


def _as_text(value: PropertyValue) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip())


def _remove(options: argparse.Namespace) -> None:
    files = _stack_files(options)
    project = files.backend.project
    _confirm(options, f"This will permanently remove the '{files.name}' stack!")
    with files.lock():
        entries: list[Any] = files.read_deployment().get("resources") or []
        only_root = len(entries) == 1 and snapshots.load(files.read_deployment(), None).root_stack()
        if entries and not only_root and not options.force:
            raise errors.EngineError(
                f"'{files.name}' still has resources: run `python -m engine destroy` first, or "
                "give up on them with --force"
            )
        files.remove(backups=options.remove_backups)
    if not options.preserve_config:
        from engine.stack_config import read_stack_file

        read_stack_file(project, files.name).path.unlink(missing_ok=True)
    if not os.environ.get("PULUMI_STACK"):
        workspace.select_stack(project, files.backend.url, "")
    print(f"Stack '{files.name}' has been removed!")


def _list(options: argparse.Namespace) -> None:
    project = _project()
    backend = Backend.open(project)
    selected = workspace.selected_stack(project, backend.url).rpartition("/")[2]
    rows: list[dict[str, Any]] = []
    for name in backend.stack_names():
        deployment = backend.stack(name).read_deployment()
        resources: list[Any] = deployment.get("resources") or []
        manifest: dict[str, str] = deployment.get("manifest") or {}
        rows.append(
            {
                "name": name,
                "current": name == selected,
                "lastUpdate": manifest.get("time", ""),
                "updateInProgress": False,
                "resourceCount": len(resources),
            }
        )
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    table = [("NAME", "LAST UPDATE", "RESOURCE COUNT")]
    for row in rows:
        mark = "*" if row["current"] else ""
        table.append((row["name"] + mark, row["lastUpdate"] or "n/a", str(row["resourceCount"])))
    _print_table(table)


def _history(options: argparse.Namespace) -> None:
    entries = _stack_files(options).read_history()
    table = [("KIND", "RESULT", "ENDED", "TOOK", "CHANGES")]
    for entry in entries:
        changes: dict[str, int] = entry.get("resourceChanges") or {}
        ended = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.get("endTime", 0)))
        took = entry.get("endTime", 0) - entry.get("startTime", 0)
        counted = ", ".join(f"{count} {op}" for op, count in sorted(changes.items()))
        table.append((str(entry["kind"]), str(entry["result"]), ended, f"{took}s", counted))
    _print_table(table)


# -- locks -------------------------------------------------------------------------------------


def _confirm(options: argparse.Namespace, prompt: str) -> None:
    if options.yes:
        return
    if options.non_interactive or not sys.stdin.isatty():
        raise errors.ConfigurationError(
            "--yes must be passed in to proceed when running in non-interactive mode"
        )
    if input(f"{prompt} Go on? [yes/no] ").strip().lower() not in ("y", "yes"):
        raise errors.CancelledError("declined; nothing was changed")


def _cancel(options: argparse.Namespace) -> None:
    files = _stack_files(options)
    held = locks.read_locks(files.lock_folder)
    for lock in held:
        print(f"held by {lock}")
    if held:
        _confirm(options, f"This removes the locks of '{files.name}', whoever holds them.")
    locks.remove_all_locks(files.lock_folder)
    print(f"The currently running update for '{files.name}' has been canceled!")


def _unlock_stale(options: argparse.Namespace) -> None:
    project = _project()
    backend = Backend.open(project)
    named = options.stack or workspace.selected_stack(project, backend.url)
    names = [parse_stack_name(named, project)] if named else backend.stack_names()
    for name in names:
        for dead in locks.remove_dead_locks(backend.stack(name).lock_folder):
            print(f"warning: removed the lock of {dead}: that process is gone")


_COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "preview": _operate("update", only_preview=True),
    "up": _operate("update"),
    "refresh": _operate("refresh"),
    "destroy": _operate("destroy"),
    "cancel": _cancel,
    "unlock-stale": _unlock_stale,
    "history": _history,
    "stack select": _select,
    "stack init": _init,
    "stack output": _output,
    "stack rm": _remove,
    "stack ls": _list,
    "stack history": _history,
}
