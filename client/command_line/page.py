"""The command `page`: where the page is, and the way to it where it is private."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Generator
from contextlib import contextmanager

from client.api import Client
from client.command_line.first_answer import domain_problem
from client.errors import StackOutputError
from client.exit_codes import EXIT_DONE
from client.stacks.cluster import kubeconfig_of
from client.stacks.discovery import make_command, read_stack
from client.stacks.forwarding import keep_forwarding
from client.stacks.tools import INSTALL, ToolError, missing_tools


def page(arguments: argparse.Namespace) -> int:
    """Show the page's address, and what its domain lacks; bring a private one to a port of this
    machine until Ctrl-C."""
    name: str = arguments.stack
    stack = read_stack(name)
    if stack.page:
        _say(f"page     {stack.page}")
        with Client(stack.page, protocol=stack.protocol, warn=lambda _line: None) as client:
            if problem := domain_problem(client, stack, name):
                _say(f"next     {problem}")
        return EXIT_DONE
    if not stack.kubeconfig_command:
        raise StackOutputError(f"stack {name} has no page: `{make_command('up', name)}` makes it")
    for tool in missing_tools():
        raise StackOutputError(f"{tool} is not on PATH: install it, {INSTALL[tool]}")
    try:
        with _ended_by_signals(), kubeconfig_of(stack) as environment:
            keep_forwarding(environment, make_command("doctor", name), _opened, _say)
    except ToolError as error:
        doctor = make_command("doctor", name)
        raise StackOutputError(f"{error}: run `gcloud auth login`, or ask `{doctor}`") from None
    except KeyboardInterrupt:
        _say("closed")
    return EXIT_DONE


@contextmanager
def _ended_by_signals() -> Generator[None]:
    """SIGTERM is as good as Ctrl-C, so that `kubectl` is ended, too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _opened(port: int) -> None:
    _say(f"page     http://127.0.0.1:{port}")
    _say("until you press Ctrl-C; the page and the APIs ask for a key of the stack's")


def _say(line: str) -> None:
    print(line, flush=True)
