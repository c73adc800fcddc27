"""Asking the engine about a stack of this project.

It is the official `pulumi` if that is on PATH, else the project's embedded engine; ENGINE=pulumi or
ENGINE=embedded in the environment forces one of them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from client.errors import StackOutputError
from prediction.errors import InputRefusedError, one_line

LOCAL_STACK = "local"
ENGINE_TIMEOUT_SECONDS = 60.0
_NOT_LOGGED_IN = re.compile(r"PULUMI_ACCESS_TOKEN|\blogin\b")
"""In what the official CLI says where nobody can be asked."""


def ask_engine(stack: str, root: Path, *question: str, what: str, remedy: str) -> object:
    """The JSON that `pulumi stack QUESTION… --stack STACK` prints in the project at `root`.

    Raises StackOutputError: it cannot read `what` of the stack, and `remedy` says what to do.
    """
    if not stack or stack.startswith("-"):
        raise InputRefusedError(f"{one_line(repr(stack))} is not a stack name")
    command = [*engine_command(), "stack", *question, "--stack", stack]
    try:
        result = subprocess.run(
            command,
            cwd=root,
            env=stack_environment(stack, root, os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=ENGINE_TIMEOUT_SECONDS,
            check=False,
        )
    except OSError as error:
        raise StackOutputError(
            f"cannot run {command[0]} ({error.strerror}): set ENGINE=embedded, or give --endpoint"
        ) from error
    except subprocess.TimeoutExpired:
        raise StackOutputError(
            f"reading the {what} of stack {stack} took longer than "
            f"{ENGINE_TIMEOUT_SECONDS:g} s: give --endpoint instead"
        ) from None
    if result.returncode != 0:
        reason = _error_line(result.stderr)
        if _NOT_LOGGED_IN.search(reason):
            remedy = "log in to the backend that has its state, with `pulumi login`"
        raise StackOutputError(f"cannot read the {what} of stack {stack} ({reason}): {remedy}")
    try:
        return json.loads(result.stdout)
    except ValueError:
        raise StackOutputError(
            f"what {command[0]} prints as the {what} of stack {stack} is not JSON "
            f"({one_line(result.stdout)}): give --endpoint instead"
        ) from None


def engine_command() -> list[str]:
    """The command that reads stacks: `pulumi`, or the embedded engine."""
    engine = os.environ.get("ENGINE", "")
    if engine not in ("", "pulumi", "embedded"):
        raise InputRefusedError(
            f"ENGINE must be pulumi or embedded, not {one_line(repr(engine))}: set or unset it"
        )
    if engine == "pulumi" or (engine == "" and shutil.which("pulumi")):
        return ["pulumi"]
    return [sys.executable, "-m", "engine"]


def stack_environment(stack: str, root: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment for reading `stack`.

    The local stack is the checkout's, as it is for make: a shell's variables for other work do not
    count, unless the checkout has no such stack. Any other stack uses the user's own login and
    backend.
    """
    if stack != LOCAL_STACK:
        return dict(inherited)
    local = {
        "PULUMI_BACKEND_URL": _local_backend(root),
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    if _has_local_stack(root):
        environment = dict(inherited) | local
        environment.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
        return environment
    if "PULUMI_CONFIG_PASSPHRASE_FILE" in inherited:
        del local["PULUMI_CONFIG_PASSPHRASE"]
    environment = local | dict(inherited)
    if not environment["PULUMI_BACKEND_URL"]:  # an empty passphrase is valid, an empty URL is not
        environment["PULUMI_BACKEND_URL"] = local["PULUMI_BACKEND_URL"]
    return environment


def _has_local_stack(root: Path) -> bool:
    """Whether the checkout's backend has the stack. Its file may be compressed."""
    stacks = root / ".state" / ".pulumi" / "stacks"
    return any(
        any(stacks.glob(f"{folder}{LOCAL_STACK}.json{end}"))
        for folder in ("*/", "")
        for end in ("", ".gz")
    )


def _local_backend(root: Path) -> str:
    """The URL that make uses, too: the character codes are those of "%", "#" and "?"."""
    folder = str(root / ".state")
    return f"file://{folder.replace('%', '%25').replace('#', '%23').replace('?', '%3F')}"


def _error_line(stderr: str) -> str:
    """The engine's error line, without its prefix."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error:")]
    line = (errors or lines or ["it failed without a message"])[-1]
    return one_line(line.removeprefix("error:"))
