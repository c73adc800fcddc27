"""The selected stack, kept in the official CLI's file in PULUMI_HOME."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, cast

from engine.project.project_file import Project
from engine.state import files


def pulumi_home() -> Path:
    """PULUMI_HOME, or ~/.pulumi. Raises OSError where there is no home folder."""
    named = os.environ.get("PULUMI_HOME")
    if named:
        return Path(named)
    try:
        return Path.home() / ".pulumi"
    except RuntimeError:  # no HOME, and a user that the system does not know
        raise FileNotFoundError("there is no home folder: set HOME or PULUMI_HOME") from None


def working_directory() -> Path:
    """The shell's PWD if valid, symbolic links kept: the selection's file name depends on it."""
    named = os.environ.get("PWD", "")
    if named.startswith("/"):
        try:
            if Path(named).samefile("."):
                return Path(named)
        except OSError:
            pass
    return Path.cwd()


def _settings_file(project: Project) -> Path:
    digest = hashlib.sha1(os.fsencode(project.file), usedforsecurity=False).hexdigest()
    return pulumi_home() / "workspaces" / f"{project.name}-{digest}-workspace.json"


def _read_settings(project: Project) -> dict[str, Any]:
    try:
        settings: object = json.loads(_settings_file(project).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", settings) if isinstance(settings, dict) else {}


def selected_stack(project: Project, backend_url: str) -> str:
    """PULUMI_STACK, or the stack selected for this project and backend; empty if none."""
    if "PULUMI_STACK" in os.environ:
        return os.environ["PULUMI_STACK"]
    settings = _read_settings(project)
    by_backend = settings.get("stacks")
    if isinstance(by_backend, dict) and by_backend:
        return str(cast("dict[str, Any]", by_backend).get(backend_url) or "")
    return str(settings.get("stack") or "")


def select_stack(project: Project, backend_url: str, stack: str) -> None:
    """Save the selection; an empty stack clears it."""
    settings = _read_settings(project)
    stacks = cast("dict[str, Any]", settings.get("stacks") or {})
    if stack:
        stacks[backend_url] = f"organization/{project.name}/{stack}"
    else:
        stacks.pop(backend_url, None)
        settings.pop("stack", None)
    settings["stacks"] = stacks
    if not stacks:
        del settings["stacks"]
    file = _settings_file(project)
    if settings:
        files.write_atomically(file, json.dumps(settings, indent=4), durable=False)
    else:
        file.unlink(missing_ok=True)


def logged_in_backend() -> str:
    """The backend of `pulumi login`, the default if no other is set."""
    try:
        credentials: object = json.loads(
            (pulumi_home() / "credentials.json").read_text(encoding="utf-8")
        )
    except (OSError, ValueError):
        return ""
    if not isinstance(credentials, dict):
        return ""
    return str(cast("dict[str, Any]", credentials).get("current") or "")
