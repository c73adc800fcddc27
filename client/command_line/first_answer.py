"""Waiting for the first answer of a service on a cluster.

A new load balancer has its address minutes before it forwards connections. A new domain waits for
whoever keeps its DNS, so that nobody waits for it here.
"""

from __future__ import annotations

import sys
import time

from client.api import Client
from client.command_line.progress import QUIET_SECONDS, shown
from client.stacks.discovery import StackOutputs, make_command
from client.stacks.domain import CERTIFICATE_MINUTES, dns_problem
from prediction.errors import ClientError, RequestTimeoutError, UnreachableError

USUAL_SECONDS = 120.0
LONGEST_SECONDS = 600.0
_POLL_SECONDS = 2.0


def wait_for_answer(client: Client, stack: str, limit_seconds: float = LONGEST_SECONDS) -> float:
    """Returns, once anything answers, for how long nothing did. A model that loads is an answer.

    Raises UnreachableError after limit_seconds.
    """
    started = time.monotonic()
    if _answers(client):
        return 0.0
    print(
        f"{client.endpoint} does not answer yet: a new load balancer needs about "
        f"{USUAL_SECONDS / 60:.0f} minutes; waiting for it (--no-wait gives up)",
        file=sys.stderr,
    )

    def line() -> str:
        return progress_line(client.endpoint, time.monotonic() - started, limit_seconds)

    with shown(line, sys.stderr, started + QUIET_SECONDS):
        while not _answers(client):
            if time.monotonic() - started + _POLL_SECONDS > limit_seconds:
                raise UnreachableError(
                    f"no response from {client.endpoint} within {limit_seconds:.0f} s: check that "
                    "allowedSourceRanges include your address, and ask "
                    f"`{make_command('doctor', stack)}`"
                )
            time.sleep(_POLL_SECONDS)
    return time.monotonic() - started


def domain_problem(client: Client, outputs: StackOutputs | None, stack: str) -> str:
    """Why nothing answers at the stack's domain, and what to do; empty if something does, or if it
    has none."""
    if outputs is None or not outputs.address or _answers(client):
        return ""
    certificate = (
        f"Google makes the certificate, within {CERTIFICATE_MINUTES} minutes; "
        f"`{make_command('doctor', stack)}` says how far it is"
    )
    record = dns_problem(outputs.endpoint, outputs.address)
    return f"{record}; then {certificate}" if record else certificate


def progress_line(endpoint: str, elapsed_seconds: float, limit_seconds: float) -> str:
    line = f"waiting for {endpoint}, {elapsed_seconds:.0f} s"
    left_seconds = min(USUAL_SECONDS, limit_seconds) - elapsed_seconds
    if left_seconds >= 1:
        return f"{line}, about {left_seconds:.0f} s left"
    return f"{line} of at most {limit_seconds:.0f}; do allowedSourceRanges include your address?"


def _answers(client: Client) -> bool:
    """Whether something answers, whatever it says."""
    try:
        client.status()
    except RequestTimeoutError:
        return False
    except ClientError as error:
        # Its subclasses are answers that are of no use.
        return type(error) is not UnreachableError
    return True
