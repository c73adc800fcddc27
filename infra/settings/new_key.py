"""A key of the web service: drawn, stored in the stack's file as a secret, and printed once.

`python -m infra.settings.new_key --stack mine --name alice` gives it to the Pulumi CLI on its
standard input: a command line can be read by every user of this machine.
"""

from __future__ import annotations

import argparse
import re
import secrets
import subprocess
import sys
from typing import cast

from console import run_command
from console.invocation import started_as
from infra.settings import keys, project_file

_KEY_BYTES = 24
"""32 characters in base64."""


class NewKeyError(Exception):
    """No key is stored; says why, and what to do."""


def store(stack: str, name: str, *, rotate: bool) -> str:
    """Draw the key of `name`, store it, and return it. rotate: in place of the one it has."""
    example = "give make a name for whoever gets the key, such as NAME=alice"
    if not name:
        raise NewKeyError(example)
    if not keys.NAME.fullmatch(name):
        raise NewKeyError(f"a name {keys.NAME_RULE}: {example}")
    if project_file.target(stack) == "local":
        raise NewKeyError(f"stack {stack} asks for no keys: name one on GKE, such as STACK=mine")
    written = project_file.stack_config(stack).get(f"{project_file.project_name()}:{keys.API_KEYS}")
    file = project_file.stack_file(stack).name
    if isinstance(written, dict) and set(cast("dict[str, object]", written)) == {"secure"}:
        raise NewKeyError(f"apiKeys in {file} is a single secret: remove it to have a key a name")
    has_key = isinstance(written, dict) and name in written
    if has_key and not rotate:
        raise NewKeyError(f"{name} has a key; to put another in its place: ROTATE=1")
    key = secrets.token_urlsafe(_KEY_BYTES)
    _store(stack, f'{keys.API_KEYS}["{name}"]', key)
    return key


def _store(stack: str, path: str, key: str) -> None:
    command = ["pulumi", "config", "set", "--secret", "--path", path, "--stack", stack]
    try:
        done = subprocess.run(
            [*command, "--non-interactive"],
            cwd=project_file.ROOT,
            input=key,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise NewKeyError(
            f"cannot run pulumi ({error.strerror}): install the CLI from "
            "https://www.pulumi.com/docs/install/"
        ) from None
    if done.returncode != 0:
        errors = re.findall(r"^error: *(.+)$", done.stderr, re.MULTILINE)
        reason = errors[-1] if errors else f"it ended with exit code {done.returncode}"
        raise NewKeyError(f"pulumi did not store the key: {reason}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=started_as("infra.settings.new_key"),
        description="Draw a key of the web service, store it as a secret, and print it once.",
        epilog="example: %(prog)s --stack mine --name alice",
    )
    parser.add_argument("--stack", required=True, help="the stack whose service it opens")
    parser.add_argument("--name", required=True, help="whose key it is")
    parser.add_argument("--rotate", action="store_true", help="replace the key of that name")
    options = parser.parse_args(arguments)
    try:
        key = store(options.stack, options.name, rotate=options.rotate)
    except NewKeyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"key   {key}")
    print(f"      of {options.name}; it is not shown again")
    print(f"next  make up STACK={options.stack}")
    return 0


if __name__ == "__main__":
    run_command(main)
