"""`python -m client.doctor.orphans --stack NAME`: what a killed update may have left in the cloud.

It comes before `make down`, which removes the state, and with it the only record of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from client.doctor.last_update import forget_advice, interrupted_finding
from client.errors import StackOutputError
from client.exit_codes import EXIT_CODES, EXIT_DONE
from client.stacks.discovery import make_command
from client.stacks.state import read_state
from console import run_command
from console.invocation import started_as
from prediction.errors import UnreachableError


def main(argv: Sequence[str] | None = None) -> int:
    """Print what may exist in Google Cloud outside the state; 4 if there is such a thing."""
    parser = argparse.ArgumentParser(
        prog=started_as("client.doctor.orphans"),
        description="List what a killed update may have left in Google Cloud outside the state.",
    )
    parser.add_argument("--stack", required=True, help="the stack to look at")
    stack: str = parser.parse_args(argv).stack
    again = f"run `{make_command('down', stack)}` again"
    try:
        state = read_state(stack, remedy=f"{again} when it can be read")
    except StackOutputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CODES[UnreachableError]
    if not state.orphans:
        return EXIT_DONE
    for one in state.orphans:
        finding = interrupted_finding(one, state, stack, state.project)
        print(f"error: {finding.message}", file=sys.stderr)
    print(f"{forget_advice(stack)}, and {again}", file=sys.stderr)
    return EXIT_CODES[UnreachableError]


if __name__ == "__main__":
    run_command(main)
