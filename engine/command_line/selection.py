"""The project and stack that a command works on, and the confirmation prompt."""

from __future__ import annotations

import argparse
import sys

from engine import errors, hints
from engine.project import workspace
from engine.project.project_file import Project, find_project
from engine.state.backend import Backend, StackFiles, parse_stack_name


def project_here() -> Project:
    return find_project(workspace.working_directory())


def stack_files(options: argparse.Namespace) -> StackFiles:
    """The files of the named or selected stack, which must exist."""
    project = project_here()
    backend = Backend.open(project)
    named = getattr(options, "stack_name", "") or options.stack
    name = named or workspace.selected_stack(project, backend.url)
    if not name:
        raise errors.EngineError(
            "no stack selected: name one with --stack, or select one with "
            f"`{hints.program()} stack select --create NAME`"
        )
    return backend.existing_stack(parse_stack_name(name, project))


def confirm(options: argparse.Namespace, prompt: str) -> None:
    if options.yes:
        return
    if options.non_interactive or not sys.stdin.isatty():
        raise errors.ConfigurationError(
            "--yes must be passed in to proceed when running in non-interactive mode"
        )
    if input(f"{prompt} Continue? [yes/no] ").strip().lower() not in ("y", "yes"):
        raise errors.CancelledError("declined; nothing was changed")
