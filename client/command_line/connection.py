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
from client.errors import StackOutputError
from client.stacks.discovery import StackOutputs, read_stack
from client.stacks.engine import LOCAL_STACK
from client.stacks.starting import all_run, is_running
from client.time_limits import LOADING_SECONDS
from prediction.endpoints import Protocol
from prediction.errors import printable

_POLL_SECONDS = 1.0


def print_warning(line: str) -> None:
    print(f"warning: {printable(line)}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Service:
    """The client, and the stack's outputs if the service was found through a stack.

    stack_name: of the stack that the user asked about; empty if it was none. waited_seconds: for
    the stack's first deployment.
    """

    client: Client
    stack: StackOutputs | None
    stack_name: str = ""
    waited_seconds: float = 0.0


def chosen_stack(stack: str, endpoint: object) -> str:
    """The stack that a command's options are about; empty if an endpoint is given instead."""
    return "" if endpoint is not None and stack == LOCAL_STACK else stack


def connect(arguments: argparse.Namespace) -> Service:
    """The service at `--endpoint`, else the one that `--stack` deployed."""
    model_name: str | None = arguments.model_name
    timeout_seconds: float | None = arguments.timeout
    protocol = None if arguments.transport is None else Protocol(arguments.transport)
    endpoint: str | Sequence[str] | None = arguments.endpoint
    name = chosen_stack(arguments.stack, endpoint)
    if endpoint is not None:
        client = Client(
            endpoint,
            protocol=protocol,
            model_name=model_name,
            timeout_seconds=timeout_seconds,
            warn=print_warning,
            stack=name,
        )
        return Service(client, None, name)
    started = time.monotonic()
    stack, had_to_wait = _deployed(arguments)
    waited_seconds = time.monotonic() - started if had_to_wait else 0.0
    protocol = protocol or stack.protocol
    client = Client(
        stack.endpoint_for(protocol),
        protocol=protocol,
        model_name=stack.model_name if model_name is None else model_name,
        limits=stack.limits,
        timeout_seconds=timeout_seconds,
        warn=print_warning,
        is_starting=partial(all_run, name, protocol),
        stack=name,
    )
    return Service(client, stack, name, waited_seconds)


def _deployed(arguments: argparse.Namespace) -> tuple[StackOutputs, bool]:
    """The stack's outputs, and whether they had to be waited for.

    A command that draws waits for those of a first deployment, which come when its server has
    started.
    """
    stack: str = arguments.stack
    try:
        return read_stack(stack), False
    except StackOutputError:
        gives_up = getattr(arguments, "no_wait", True) or arguments.no_retry
        if gives_up or not is_running(stack):
            raise
    print(f"stack {stack} is being deployed; waiting for it (--no-wait gives up)", file=sys.stderr)
    started = time.monotonic()
    deadline = started + (LOADING_SECONDS if arguments.timeout is None else arguments.timeout)

    def line() -> str:
        return f"waiting for stack {stack}, {time.monotonic() - started:.0f} s"

    with shown(line, sys.stderr, started + QUIET_SECONDS):
        while True:
            time.sleep(_POLL_SECONDS)
            try:
                return read_stack(stack), True
            except StackOutputError:
                if time.monotonic() > deadline or not is_running(stack):
                    raise
