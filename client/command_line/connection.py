"""Connecting to the service that a command's options select."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from client.api import Client
from client.command_line.progress import QUIET_SECONDS, shown
from client.errors import StackOutputError, printable
from client.limits import Limits
from client.stacks.discovery import StackOutputs, read_stack
from client.stacks.starting import is_running
from client.transports.endpoints import Protocol

_POLL_SECONDS = 1.0


def print_warning(line: str) -> None:
    print(f"warning: {printable(line)}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Service:
    """The client, and the stack's outputs if the service was found through a stack."""

    client: Client
    stack: StackOutputs | None


def connect(arguments: argparse.Namespace) -> Service:
    """The service at `--endpoint`, else the one that `--stack` deployed."""
    model_name: str | None = arguments.model_name
    timeout_seconds: float | None = arguments.timeout
    protocol = None if arguments.transport is None else Protocol(arguments.transport)
    endpoint: str | Sequence[str] | None = arguments.endpoint
    if endpoint is not None:
        client = Client(
            endpoint,
            protocol=protocol,
            model_name=model_name,
            timeout_seconds=timeout_seconds,
            warn=print_warning,
        )
        return Service(client, None)
    stack = _deployed(arguments)
    client = Client(
        stack.endpoint_for(protocol or Protocol.REST),
        model_name=stack.model_name if model_name is None else model_name,
        limits=stack.limits,
        timeout_seconds=timeout_seconds,
        warn=print_warning,
        is_starting=partial(is_running, arguments.stack),
    )
    return Service(client, stack)


def _deployed(arguments: argparse.Namespace) -> StackOutputs:
    """The stack's outputs. A command that draws waits for those of a first deployment, which come
    when its server has started.
    """
    stack: str = arguments.stack
    try:
        return read_stack(stack)
    except StackOutputError:
        gives_up = getattr(arguments, "no_wait", True) or arguments.no_retry
        if gives_up or not is_running(stack):
            raise
    print(f"stack {stack} is being deployed; waiting for it (--no-wait gives up)", file=sys.stderr)
    started = time.monotonic()
    deadline = started + (arguments.timeout or Limits().request_timeout_seconds)

    def line() -> str:
        return f"waiting for stack {stack}, {time.monotonic() - started:.0f} s"

    with shown(line, sys.stderr, started + QUIET_SECONDS):
        while True:
            time.sleep(_POLL_SECONDS)
            try:
                return read_stack(stack)
            except StackOutputError:
                if time.monotonic() > deadline or not is_running(stack):
                    raise
