"""Runs the commands and returns the official CLI's exit codes."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine import errors, hints
from engine.command_line import stack_commands
from engine.command_line.arguments import parse
from engine.command_line.selection import confirm, project_here, stack_files
from engine.display import terminal
from engine.display.lines import Display
from engine.project import workspace
from engine.state import locks
from engine.state.backend import Backend, parse_stack_name

if TYPE_CHECKING:
    from engine.deployment.operations import DisplayForm

_COLORS = {"always": True, "never": False, "raw": False}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
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
    except (KeyboardInterrupt, EOFError):  # Ctrl-C, or Ctrl-D at a prompt
        print("error: interrupted; nothing was changed", file=sys.stderr)
        return errors.EXIT_CANCELLED
    except BrokenPipeError:  # nobody reads the output
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}; fix that and run again", file=sys.stderr)
        return errors.EXIT_ERROR
    return 0


# -- operations --------------------------------------------------------------------------------


def _operate(kind: str, *, only_preview: bool = False) -> Callable[[argparse.Namespace], None]:
    def operate(options: argparse.Namespace) -> None:
        files = stack_files(options)
        asks = not (only_preview or options.yes or options.skip_preview)
        if asks and (options.non_interactive or not sys.stdin.isatty()):
            raise errors.ConfigurationError(
                "--yes or --skip-preview must be passed in to proceed when running in "
                "non-interactive mode"
            )
        # Only operations need gRPC and Pulumi's SDK, which are slow to import.
        from engine.deployment import operations
        from engine.processes import interrupts as signals

        display = display_form(options)
        interrupts = signals.Interrupts()
        what = operations.Options(
            yes=getattr(options, "yes", False),
            skip_preview=getattr(options, "skip_preview", False),
            refresh=getattr(options, "refresh", False) or files.backend.project.refreshes_always,
            expect_no_changes=getattr(options, "expect_no_changes", False),
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
                "associated with the stack are still maintained."
            )
            if removal := hints.command("stack rm", files.name):
                print(f"If you want to remove the stack completely, run `{removal}`.")

    return operate


def display_form(options: argparse.Namespace) -> DisplayForm:
    """The display to use: a live table on a terminal, plain lines, a diff or JSON."""
    if getattr(options, "json", False):
        from engine.display.digest import DigestDisplay

        return DigestDisplay
    if options.diff:
        from engine.display.diff import DiffDisplay

        return DiffDisplay
    if not options.non_interactive and terminal.is_live(sys.stdout):
        # rich is optional and slow to import.
        with contextlib.suppress(ImportError):
            from engine.display.live import LiveDisplay

            return functools.partial(LiveDisplay, color=_COLORS.get(options.color))
    return Display


# -- locks -------------------------------------------------------------------------------------


def _cancel(options: argparse.Namespace) -> None:
    files = stack_files(options)
    held = locks.read_locks(files.lock_folder)
    for lock in held:
        if lock.is_in_use:
            raise errors.EngineError(
                f"{lock} still runs: wait for it to finish, or stop it (Ctrl-C where it was "
                f"started, or `kill {lock.pid}`); two at once would damage the stack's state"
            )
        print(f"held by {lock}")
    if held:
        confirm(options, f"This will remove all locks of stack '{files.name}'!")
    for lock in held:
        locks.remove(lock)
    print(f"The currently running update for '{files.name}' has been canceled!")


def _unlock_stale(options: argparse.Namespace) -> None:
    project = project_here()
    backend = Backend.open(project)
    named = options.stack or workspace.selected_stack(project, backend.url)
    names = [parse_stack_name(named, project)] if named else backend.stack_names()
    for name in names:
        for stale in locks.remove_stale_locks(backend.stack(name).lock_folder):
            print(f"warning: removed the stale lock of {stale}: that process no longer runs")


_COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "preview": _operate("update", only_preview=True),
    "up": _operate("update"),
    "refresh": _operate("refresh"),
    "destroy": _operate("destroy"),
    "cancel": _cancel,
    "unlock-stale": _unlock_stale,
    "history": stack_commands.history,
    "stack select": stack_commands.select,
    "stack init": stack_commands.init,
    "stack output": stack_commands.output,
    "stack rm": stack_commands.remove,
    "stack ls": stack_commands.ls,
    "stack history": stack_commands.history,
}
