"""Finding the service through the outputs of a Pulumi stack of this project.

They are read with the official `pulumi` if it is on PATH, else with the project's embedded engine;
ENGINE=pulumi or ENGINE=embedded in the environment forces one of them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from client.errors import InputRefusedError, StackOutputError, one_line
from client.limits import Limits
from client.transports.endpoints import Protocol, normalize_endpoint
from model_export.spec import MODEL_NAME

PROJECT_ROOT = Path(__file__).resolve().parents[2]
LOCAL_STACK = "local"
STACK_OUTPUT_TIMEOUT_SECONDS = 60.0
_MAKE_COMMAND = re.compile(r"`make (doctor|status|up)(?: STACK=…)?`")


@dataclass(frozen=True)
class StackOutputs:
    """The outputs of a deployed stack.

    bucket and kubeconfig_command are empty for the stack `local`.
    """

    endpoint: str
    grpc_endpoint: str
    model_name: str
    fingerprint: str
    model_uri: str
    limits: Limits
    bucket: str
    kubeconfig_command: str

    def endpoint_for(self, protocol: Protocol) -> str:
        """The service's endpoint for `protocol`."""
        if protocol is Protocol.REST:
            return self.endpoint
        if not self.grpc_endpoint:
            raise StackOutputError("the stack has no output `grpcEndpoint`: leave out --transport")
        return normalize_endpoint(self.grpc_endpoint, protocol)


def read_stack(stack: str = LOCAL_STACK, root: Path = PROJECT_ROOT) -> StackOutputs:
    """The outputs of `stack`. Raises StackOutputError, whose message says what to do."""
    if not stack or stack.startswith("-"):
        raise InputRefusedError(f"{one_line(repr(stack))} is not a stack name")
    command = [*engine_command(), "stack", "output", "--json", "--stack", stack]
    try:
        result = subprocess.run(
            command,
            cwd=root,
            env=stack_environment(stack, root, os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=STACK_OUTPUT_TIMEOUT_SECONDS,
            check=False,
        )
    except OSError as error:
        raise StackOutputError(
            f"cannot run {command[0]} ({error.strerror}): set ENGINE=embedded, or give --endpoint"
        ) from error
    except subprocess.TimeoutExpired:
        raise StackOutputError(
            f"reading the outputs of stack {stack} took longer than "
            f"{STACK_OUTPUT_TIMEOUT_SECONDS:g} s: give --endpoint instead"
        ) from None
    if result.returncode != 0:
        raise StackOutputError(
            f"cannot read the outputs of stack {stack} ({_error_line(result.stderr)}): "
            f"{_remedy(stack)}"
        )
    try:
        document = json.loads(result.stdout)
    except ValueError:
        raise StackOutputError(
            f"the outputs of stack {stack} are not JSON ({one_line(result.stdout)}): "
            "give --endpoint instead"
        ) from None
    return _outputs(stack, document)


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


def _outputs(stack: str, document: object) -> StackOutputs:
    if not isinstance(document, dict):
        raise StackOutputError(f"the outputs of stack {stack} are not a JSON object")
    values = cast("dict[str, object]", document)

    def text(key: str, default: str = "") -> str:
        value = values.get(key, default)
        return value if isinstance(value, str) else default

    if not text("endpoint"):
        raise StackOutputError(f"stack {stack} has no output `endpoint`: {_remedy(stack)}")
    limits = values.get("limits", {})
    if not isinstance(limits, dict):
        raise StackOutputError(f"the output `limits` of stack {stack} is not an object")
    return StackOutputs(
        endpoint=text("endpoint"),
        grpc_endpoint=text("grpcEndpoint"),
        model_name=text("modelName", MODEL_NAME),
        fingerprint=one_line(text("fingerprint")),
        model_uri=one_line(text("modelUri")),
        limits=Limits.from_output(cast("dict[str, object]", limits)),
        bucket=one_line(text("bucket")),
        kubeconfig_command=one_line(text("kubeconfigCommand")),
    )


def make_up_command(stack: str) -> str:
    """The command that deploys `stack`."""
    return "make up" if stack == LOCAL_STACK else f"make up STACK={stack}"


def for_stack(message: str, stack: str) -> str:
    """`message` with make's commands for `stack`, which a transport does not know."""
    named = "" if stack == LOCAL_STACK else f" STACK={stack}"
    return _MAKE_COMMAND.sub(lambda found: f"`make {found[1]}{named}`", message)


def _remedy(stack: str) -> str:
    return f"deploy it with `{make_up_command(stack)}`, or give --endpoint"


def _error_line(stderr: str) -> str:
    """The engine's error line, without its prefix."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error:")]
    line = (errors or lines or ["it failed without a message"])[-1]
    return one_line(line.removeprefix("error:"))
