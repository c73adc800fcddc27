"""The command line: the supported commands and flags of the official CLI."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from engine import errors, hints

_EXAMPLES = """\
examples:
  {program} stack select --create local
  {program} preview --diff
  {program} up --refresh --yes
  {program} stack output endpoint
  {program} destroy --yes && {program} stack rm --yes --preserve-config

It reads and writes the same files as the official `pulumi` CLI, so you can switch at any time.
PULUMI_BACKEND_URL is the state folder (file://...); PULUMI_CONFIG_PASSPHRASE decrypts its secrets.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The parsed flags; `command` is the full command, such as `stack ls`."""
    defaults = argparse.Namespace(stack="", cwd="", non_interactive=False, color="auto")
    return _parser().parse_args(arguments, defaults)


class _Parser(argparse.ArgumentParser):
    """Reports a usage error in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}; see `{self.prog} --help`", file=sys.stderr)
        sys.exit(errors.EXIT_CONFIGURATION)


def _parser() -> argparse.ArgumentParser:
    shared = _shared_flags()
    parser = _Parser(
        prog=hints.program(),
        description=(
            "An embedded Pulumi engine for stacks of components and Python dynamic providers."
        ),
        epilog=_EXAMPLES.format(program=hints.program()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[shared],
    )
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_operations(verbs, shared)

    cancel = _add(verbs, shared, "cancel", "remove all locks of the stack")
    cancel.add_argument("stack_name", nargs="?", default="", help="the stack")
    cancel.add_argument("-y", "--yes", action="store_true", help="do not ask")
    _add(
        verbs,
        shared,
        "unlock-stale",
        "remove only the locks of processes on this host that no longer run",
    )
    _add_output_format(_add(verbs, shared, "history", "list past operations on the stack"))

    stack = verbs.add_parser("stack", help="select, create, list or remove stacks; show outputs")
    _add_stack_commands(
        stack.add_subparsers(title="commands", required=True, metavar="COMMAND"), shared
    )
    return parser


def _add(
    verbs: Any, shared: argparse.ArgumentParser, command: str, summary: str, *aliases: str
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        command.rpartition(" ")[2],
        help=summary,
        description=summary,
        parents=[shared],
        allow_abbrev=False,
        aliases=aliases,
    )
    verb.set_defaults(command=command)
    return verb


def _add_operations(verbs: Any, shared: argparse.ArgumentParser) -> None:
    preview = _add(verbs, shared, "preview", "show what up would change")
    preview.add_argument("-j", "--json", action="store_true", help="print one JSON document")
    up = _add(verbs, shared, "up", "create or update the stack's resources", "update")
    refresh = _add(verbs, shared, "refresh", "update the state to match the actual resources")
    destroy = _add(verbs, shared, "destroy", "delete all resources of the stack")
    for verb in (preview, up, refresh, destroy):
        verb.add_argument(
            "--diff", action="store_true", help="show the changed properties of each resource"
        )
        verb.add_argument("-m", "--message", default="", help="a message for the history")
    for verb in (preview, up, refresh):
        verb.add_argument(
            "--expect-no-changes", action="store_true", help="fail if there are changes"
        )
    for verb in (up, refresh, destroy):
        verb.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")
        verb.add_argument(
            "-f", "--skip-preview", action="store_true", help="neither show a preview nor ask"
        )
    for verb in (preview, up, destroy):
        verb.add_argument(
            "-r", "--refresh", action="store_true", help="refresh the stack's state first"
        )
    refresh.add_argument(
        "--clear-pending-creates",
        action="store_true",
        help="clear pending creates, left by an operation that was killed",
    )


def _add_stack_commands(stacks: Any, shared: argparse.ArgumentParser) -> None:
    select = _add(stacks, shared, "stack select", "make this the current stack")
    select.add_argument("stack_name", nargs="?", default="", help="the stack")
    select.add_argument(
        "-c", "--create", action="store_true", help="create it if it does not exist"
    )
    init = _add(stacks, shared, "stack init", "create a stack and select it")
    init.add_argument("stack_name", nargs="?", default="", help="the stack")
    output = _add(stacks, shared, "stack output", "show the stack's outputs")
    output.add_argument("property", nargs="?", default="", help="show only this output")
    output.add_argument("-j", "--json", action="store_true", help="print JSON")
    output.add_argument("--show-secrets", action="store_true", help="show secrets in plain text")
    remove = _add(stacks, shared, "stack rm", "remove a stack without resources", "remove")
    remove.add_argument("stack_name", nargs="?", default="", help="the stack")
    remove.add_argument("-y", "--yes", action="store_true", help="do not ask")
    remove.add_argument(
        "-f", "--force", action="store_true", help="remove it even if it has resources"
    )
    remove.add_argument(
        "--preserve-config", action="store_true", help="keep the config file, Pulumi.STACK.yaml"
    )
    remove.add_argument("--remove-backups", action="store_true", help="also remove its backups")
    ls = _add(stacks, shared, "stack ls", "list the project's stacks")
    _add_output_format(ls)
    _add_output_format(_add(stacks, shared, "stack history", "list past operations on the stack"))


def _add_output_format(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--output", choices=("default", "json"), default="default", help="a table, or JSON"
    )
    verb.add_argument("-j", "--json", action="store_true", help="same as --output json")


def _shared_flags() -> argparse.ArgumentParser:
    """Flags accepted before or after the command."""
    shared = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS
    )
    shared.add_argument("-s", "--stack", help="the stack (default: the selected one)")
    shared.add_argument("-C", "--cwd", help="run as if started in this folder")
    shared.add_argument(
        "--non-interactive",
        action="store_true",
        help="ask nothing, and print plain lines even on a terminal",
    )
    shared.add_argument(
        "--color",
        choices=("always", "never", "raw", "auto"),
        help="when to use color in the terminal's table",
    )
    return shared
