"""Connecting to the service that a command's options select."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from client.api import Client
from client.errors import printable
from client.stacks.discovery import StackOutputs, read_stack
from client.stacks.starting import is_running
from client.transports.endpoints import Protocol


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
    stack = read_stack(arguments.stack)
    client = Client(
        stack.endpoint_for(protocol or Protocol.REST),
        model_name=stack.model_name if model_name is None else model_name,
        limits=stack.limits,
        timeout_seconds=timeout_seconds,
        warn=print_warning,
        is_starting=partial(is_running, arguments.stack),
    )
    return Service(client, stack)
