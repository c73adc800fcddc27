"""A cluster's web service on a port of this machine, by `kubectl port-forward`."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from client.stacks.cluster import WEB_PODS
from client.stacks.discovery import NAMESPACE
from client.stacks.tools import ToolError, at, list_at, text_at, tool_json
from prediction.errors import UnreachableError, one_line

USUAL_PORT = 8080
_LOOPBACK = "127.0.0.1"
_SERVICE = "service/web"
_SERVICE_PORT = 80
_POLL_SECONDS = 2.0
_END_SECONDS = 5.0

_OPEN = re.compile(r"Forwarding from [^ ]*:(\d+) -> ")
_NO_ERROR = re.compile(r"Forwarding from |Handling connection for ")
_LOST = re.compile(r"lost connection to pod|error forwarding port|error creating \w+ stream")
"""After some of these, `kubectl` goes on without its pod."""


def keep_forwarding(
    environment: Mapping[str, str],
    doctor: str,
    opened: Callable[[int], None],
    say: Callable[[str], None],
) -> None:
    """Forward a port, and again whenever the pod behind it goes. It never ends by itself.

    environment: in which `kubectl` talks to the cluster. doctor: the command that says why no pod
    is ready. opened: gets the port once. Raises UnreachableError if there is no pod to begin with.
    """
    if not _has_ready_pod(environment):
        raise UnreachableError(f"no pod of the web service is ready: `{doctor}` says why")
    port = _forward(environment, _free_port(), opened)
    tell = _once(say)
    while True:
        tell("the connection to the pod is lost: connecting again")
        _pause()
        while not _forward_again(environment, port, tell):
            _pause()


def _pause() -> None:
    time.sleep(_POLL_SECONDS)


def _forward_again(environment: Mapping[str, str], port: int, tell: Callable[[str], None]) -> bool:
    """Whether it could, after a rollout or a machine's sleep."""
    try:
        if _has_ready_pod(environment):
            _forward(environment, port, lambda _port: tell("connected again"))
            return True
        tell("no pod is ready yet: waiting for one")
    except UnreachableError as error:
        tell(str(error))
    return False


def _once(say: Callable[[str], None]) -> Callable[[str], None]:
    """Say a line unless it was the last one."""
    last = ""

    def tell(line: str) -> None:
        nonlocal last
        if line != last:
            last = line
            say(line)

    return tell


def _forward(environment: Mapping[str, str], port: int, opened: Callable[[int], None]) -> int:
    """Forward until the connection is lost. Returns the port. port: 0 for any free one."""
    last, listening = "it ended without a message", 0
    with _kubectl(environment, port) as lines:
        for line in lines:
            found = _OPEN.match(line)
            if found and not listening:
                listening = int(found[1])
                opened(listening)
            elif not _NO_ERROR.match(line) and line.strip():
                last = one_line(line.removeprefix("error:").strip())
            if _LOST.search(line):
                break
    if not listening:
        raise UnreachableError(f"kubectl port-forward failed: {last}")
    return listening


@contextmanager
def _kubectl(environment: Mapping[str, str], port: int) -> Generator[Generator[str]]:
    """What `kubectl port-forward` prints, line by line. It is ended in the end."""
    ports = f"{port or ''}:{_SERVICE_PORT}"
    where = ("-n", NAMESPACE, f"--address={_LOOPBACK}")
    try:
        process = subprocess.Popen(
            ["kubectl", "port-forward", *where, _SERVICE, ports],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise UnreachableError(f"cannot run kubectl: {error.strerror}") from None
    assert process.stdout is not None
    try:
        yield (line for line in process.stdout)
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _has_ready_pod(environment: Mapping[str, str]) -> bool:
    command = ["kubectl", "get", "pods", "-l", WEB_PODS, "-n", NAMESPACE]
    try:
        listed = tool_json([*command, "--request-timeout=30s", "-o", "json"], environment)
    except ToolError as error:
        raise UnreachableError(str(error)) from None
    return any(_is_ready(pod) for pod in list_at(listed, "items"))


def _is_ready(pod: object) -> bool:
    if text_at(pod, "metadata", "deletionTimestamp"):
        return False
    conditions = list_at(pod, "status", "conditions")
    return any((at(c, "type"), at(c, "status")) == ("Ready", "True") for c in conditions)


def _free_port() -> int:
    """The usual port if it is free, else 0, for which `kubectl` finds one."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_LOOPBACK, USUAL_PORT))
        except OSError:
            return 0
        return USUAL_PORT
