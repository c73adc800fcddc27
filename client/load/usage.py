"""CPU and memory of what serves, over time: of a local process, or of pods by `kubectl top`."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import psutil

from client.errors import one_line
from client.stacks.cluster import NAMESPACE, POD_LABEL, kubeconfig_of
from client.stacks.discovery import PROJECT_ROOT, StackOutputs
from client.stacks.local_server import recorded_process
from client.stacks.tools import ToolError, ask
from client.transports.endpoints import is_loopback, normalize_endpoint

PROCESS_SECONDS = 0.5
FIRST_LOOK_SECONDS = 0.1
"""Processor time is counted in hundredths of a second: over less than this it says little."""
LAST_LOOK_SECONDS = 5.0
PODS_SECONDS = 15.0
"""As often as the metrics server looks by default; `kubectl top` shows what it saw last."""

_CPU_UNITS = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_MEMORY_UNITS = {"": 1.0, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]*)")


@dataclass(frozen=True)
class Use:
    """What one server takes: processor cores, and bytes of memory."""

    source: str
    cpu_cores: float
    memory_bytes: float


@dataclass(frozen=True)
class Sample(Use):
    """The same at a moment, in seconds since the start of the run."""

    seconds: float


class NotMeasurableError(Exception):
    """Nobody here can tell what the servers take. The text is one line."""


Look = Callable[[], Sequence[Use]]
"""What the servers take at this moment. Raises NotMeasurableError."""


class Monitor:
    """Looks every `interval_seconds` while it is open; a look that fails ends it, as `problem`."""

    def __init__(self, look: Look, interval_seconds: float) -> None:
        self._look = look
        self._interval_seconds = interval_seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="usage", daemon=True)
        self._started = time.monotonic()
        self.samples: list[Sample] = []
        self.problem = ""

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Waits for a look that is under way, though not for long: a tool may never answer."""
        self._closing.set()
        self._thread.join(LAST_LOOK_SECONDS)

    def _watch(self) -> None:
        self._closing.wait(FIRST_LOOK_SECONDS)
        while True:
            try:
                uses = self._look()
            except NotMeasurableError as error:
                self.problem = str(error)
                return
            seconds = time.monotonic() - self._started
            self.samples += [
                Sample(use.source, use.cpu_cores, use.memory_bytes, seconds) for use in uses
            ]
            if self._closing.wait(self._interval_seconds):
                return


@contextmanager
def monitor(endpoints: Sequence[str], stack: StackOutputs | None) -> Generator[Monitor]:
    """A monitor of the servers at `endpoints`, or of the pods of `stack` if that is on a cluster.

    Raises NotMeasurableError where there is no way to look at them.
    """
    with ExitStack() as cleanup:
        if stack is not None and stack.kubeconfig_command:
            try:
                environment = cleanup.enter_context(kubeconfig_of(stack))
            except ToolError as error:
                raise NotMeasurableError(str(error)) from None
            yield cleanup.enter_context(Monitor(lambda: pods(environment), PODS_SECONDS))
        else:
            processes = {endpoint: server_process(endpoint) for endpoint in endpoints}
            for process in processes.values():
                process.cpu_percent()  # counts from here on
            yield cleanup.enter_context(Monitor(lambda: local(processes), PROCESS_SECONDS))


def server_process(endpoint: str) -> psutil.Process:
    """The process on this machine that listens at `endpoint`."""
    endpoint = normalize_endpoint(endpoint)
    if not is_loopback(endpoint):
        raise NotMeasurableError(f"{one_line(endpoint)} is not on this machine")
    port = urlsplit(endpoint).port or 80
    recorded = recorded_process(PROJECT_ROOT / ".state" / "server", port)
    if recorded is not None:
        return recorded
    try:
        for connection in psutil.net_connections("tcp"):
            place: Any = connection.laddr
            listens = connection.status == psutil.CONN_LISTEN and place and place.port == port
            if listens and connection.pid is not None:
                return psutil.Process(connection.pid)
    except psutil.Error:
        pass  # some systems show connections to root alone
    raise NotMeasurableError(f"no process of yours listens at {one_line(endpoint)}")


def local(processes: Mapping[str, psutil.Process]) -> list[Use]:
    """What these processes take; the processor since the last look."""
    try:
        return [
            Use(source, process.cpu_percent() / 100, float(process.memory_info().rss))
            for source, process in processes.items()
        ]
    except psutil.Error:
        raise NotMeasurableError("the server's process has ended") from None


def pods(environment: Mapping[str, str]) -> list[Use]:
    """What `kubectl top` says of the model server's pods."""
    command = ["kubectl", "top", "pods", "-n", NAMESPACE, "-l", POD_LABEL, "--no-headers"]
    try:
        lines = ask(command, environment).splitlines()
    except ToolError as error:
        raise NotMeasurableError(str(error)) from None
    uses: list[Use] = []
    for line in lines:
        fields = line.split()
        try:
            name, cpu, memory = fields[:3]
            uses.append(
                Use(one_line(name), _quantity(cpu, _CPU_UNITS), _quantity(memory, _MEMORY_UNITS))
            )
        except (ValueError, KeyError):
            raise NotMeasurableError(f"kubectl top said: {one_line(line)}") from None
    return uses


def _quantity(text: str, units: Mapping[str, float]) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return float(match[1]) * units[match[2]]
