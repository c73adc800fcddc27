"""The `stack` commands: select, create, list and remove stacks, show outputs and history."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from engine import errors, hints
from engine.command_line.selection import confirm, project_here, stack_files
from engine.project import workspace
from engine.project.project_file import Project
from engine.state import checkpoint
from engine.state.backend import Backend, StackFiles, parse_stack_name
from engine.state.property_json import encoded
from engine.state.snapshot import Snapshot
from engine.values import PropertyMap, PropertyValue, redacted, revealed


def _wanted_name(options: argparse.Namespace, project: Project) -> str:
    if options.stack_name and options.stack:
        raise errors.ConfigurationError("the stack is named twice: use either -s or the argument")
    name = options.stack_name or options.stack
    if not name:
        raise errors.ConfigurationError(
            "missing stack name: name it after the command, or with --stack"
        )
    return parse_stack_name(name, project)


def _create_stack(files: StackFiles) -> None:
    from engine.state.stack import open_crypters

    crypter = open_crypters(files.backend.project, files.name, "").config
    files.write_deployment(None)
    files.write_deployment(checkpoint.dump(Snapshot(), crypter))
    print(f"Created stack '{files.name}'", file=sys.stderr)


def _select(project: Project, backend_url: str, stack: str) -> None:
    """Save the selection; where that is not possible, each command must name its stack."""
    try:
        workspace.select_stack(project, backend_url, stack)
    except OSError as error:
        print(
            f"warning: which stack is selected could not be saved ({error}); name it with --stack",
            file=sys.stderr,
        )


def select(options: argparse.Namespace) -> None:
    project = project_here()
    backend = Backend.open(project)
    files = backend.stack(_wanted_name(options, project))
    if not files.exists:
        if not options.create:
            backend.existing_stack(files.name)
        _create_stack(files)
    _select(project, backend.url, files.name)


def init(options: argparse.Namespace) -> None:
    project = project_here()
    backend = Backend.open(project)
    files = backend.stack(_wanted_name(options, project))
    if files.exists:
        raise errors.EngineError(f"stack 'organization/{project.name}/{files.name}' already exists")
    _create_stack(files)
    _select(project, backend.url, files.name)


def output(options: argparse.Namespace) -> None:
    files = stack_files(options)
    deployment = files.read_deployment()
    crypter = None
    if options.show_secrets:
        from engine.state.stack import open_crypters

        salt = checkpoint.salt_of(deployment)
        crypter = (
            open_crypters(files.backend.project, files.name, salt).checkpoint if salt else None
        )
    root = checkpoint.load(deployment, crypter).root_stack()
    outputs: PropertyMap = {
        key: encoded(revealed(value) if options.show_secrets else redacted(value))
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


def _as_text(value: PropertyValue) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip())


def remove(options: argparse.Namespace) -> None:
    files = stack_files(options)
    project = files.backend.project
    confirm(options, f"This will permanently remove the '{files.name}' stack!")
    with files.lock():
        resources = checkpoint.load(files.read_deployment(), None).resources
        only_root = len(resources) == 1 and resources[0].is_root_stack
        if resources and not only_root and not options.force:
            destroy = hints.command("destroy", files.name)
            raise errors.EngineError(
                f"'{files.name}' still has resources: run `{destroy}` first, or remove the stack "
                "anyway with --force"
            )
        files.remove(backups=options.remove_backups)
    if not options.preserve_config:
        from engine.project.stack_config import read_stack_file

        read_stack_file(project, files.name).path.unlink(missing_ok=True)
    if not os.environ.get("PULUMI_STACK"):
        _select(project, files.backend.url, "")
    print(f"Stack '{files.name}' has been removed!")


def ls(options: argparse.Namespace) -> None:
    project = project_here()
    backend = Backend.open(project)
    selected = workspace.selected_stack(project, backend.url).rpartition("/")[2]
    rows: list[dict[str, Any]] = []
    for name in backend.stack_names():
        deployment = backend.stack(name).read_deployment()
        resources: list[Any] = deployment.get("resources") or []
        manifest: dict[str, str] = deployment.get("manifest") or {}
        row: dict[str, Any] = {"name": name, "current": name == selected}
        if manifest.get("time"):
            row["lastUpdate"] = _in_milliseconds(datetime.datetime.fromisoformat(manifest["time"]))
        rows.append({**row, "resourceCount": len(resources)})
    if _wants_json(options):
        print(json.dumps(rows, indent=2))
        return
    table = [("NAME", "LAST UPDATE", "RESOURCE COUNT")]
    for row in rows:
        mark = "*" if row["current"] else ""
        table.append((row["name"] + mark, row.get("lastUpdate", "n/a"), str(row["resourceCount"])))
    _print_table(table)


def history(options: argparse.Namespace) -> None:
    entries = stack_files(options).read_history()
    if _wants_json(options):
        print(json.dumps([_history_entry(e) for e in entries], indent=2, ensure_ascii=False))
        return
    table = [("KIND", "RESULT", "ENDED", "TOOK", "CHANGES")]
    for entry in entries:
        changes: dict[str, int] = entry.get("resourceChanges") or {}
        ended = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.get("endTime", 0)))
        took = entry.get("endTime", 0) - entry.get("startTime", 0)
        counted = ", ".join(f"{count} {op}" for op, count in sorted(changes.items()))
        table.append((str(entry["kind"]), str(entry["result"]), ended, f"{took}s", counted))
    _print_table(table)


def _history_entry(entry: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = entry.get("config") or {}
    changes: dict[str, int] = entry.get("resourceChanges") or {}
    return {
        "version": entry.get("version", 0),
        "kind": entry["kind"],
        "startTime": _time_of(entry.get("startTime", 0)),
        "message": entry.get("message", ""),
        "environment": entry.get("environment") or {},
        "config": {key: _config_value(value) for key, value in sorted(config.items())},
        "result": entry["result"],
        "endTime": _time_of(entry.get("endTime", 0)),
        "resourceChanges": dict(sorted(changes.items())),
    }


def _config_value(value: object) -> dict[str, object]:
    if isinstance(value, str):
        return {"value": value, "secret": False}
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if '"secure":' in text:
        return {"secret": True}
    return {"value": text, "objectValue": value, "secret": False}


def _time_of(unix_seconds: float) -> str:
    return _in_milliseconds(datetime.datetime.fromtimestamp(unix_seconds, datetime.UTC))


def _in_milliseconds(time: datetime.datetime) -> str:
    utc = time.astimezone(datetime.UTC)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _wants_json(options: argparse.Namespace) -> bool:
    return options.json or options.output == "json"
