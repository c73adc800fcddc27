"""`python -m infra.settings.committed --stack NAME`: whether git's own stack is deployed as it is.

It comes before the Pulumi CLI creates the stack, which rewrites the stack's file.
"""

from __future__ import annotations

import argparse
import sys

from console import run_command
from console.invocation import started_as
from infra.settings import project_file


def refusal(stack: str) -> str:
    """Why a stack is not deployed as it is; empty if nothing is against it."""
    if not project_file.is_to_copy(stack) or "gcp:project" in project_file.stack_config(stack):
        return ""
    file = project_file.stack_file(stack).name
    copied = project_file.advice_to_copy(stack.rpartition("/")[2])
    return (
        f"{file} has no gcp:project, and is there to be copied: make a stack of your own: {copied}"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=started_as("infra.settings.committed"),
        description="Refuse to deploy a committed stack that lacks one's own settings.",
    )
    parser.add_argument("--stack", required=True, help="the stack to deploy")
    problem = refusal(parser.parse_args(arguments).stack)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    run_command(main)
