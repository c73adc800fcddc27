"""The servers' CPU and memory over time: of local processes, or of pods from `kubectl top`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psutil

from client.load.observer import Observer
from client.stacks.cluster import PODS, kubeconfig_of
from client.stacks.discovery import NAMESPACE, PROJECT_ROOT, StackOutputs
from client.stacks.starting import server_at
from client.stacks.tools import ToolError, tool_output
from prediction.endpoints import is_loopback, normalize_endpoint
from prediction.errors import one_line

PROCESS_SECONDS = 0.5
FIRST_SAMPLE_SECONDS = 0.1
"""CPU time has a resolution of 0.01 s: over a shorter interval the value means little."""
PODS_SECONDS = 15.0
"""The metrics server's default interval; `kubectl top` shows its latest values."""

_CPU_UNITS = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_MEMORY_UNITS = {"": 1.0, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]*)")


@dataclass(frozen=True)
class Use:
    """The CPU cores and bytes of memory that one server uses."""

    source: str
    cpu_cores: float
    memory_bytes: float


@dataclass(frozen=True)
class Sample(Use):
    """The use at a time, in seconds since the start of the run."""

    seconds: float


class NotMeasurableError(Exception):
    """The servers' CPU and memory cannot be measured. The message is one line."""


Measure = Callable[[], Sequence[Use]]
"""Returns the servers' current use. Raises NotMeasurableError."""


class Monitor(Observer):
    """Measures every `interval_seconds` while open."""

    def __init__(self, measure: Measure, interval_seconds: float) -> None:
        super().__init__("usage")
        self._measure = measure
        self._interval_seconds = interval_seconds
        self.samples: list[Sample] = []

    def _observe(self) -> None:
        started = time.monotonic()
        self._closing.wait(FIRST_SAMPLE_SECONDS)
        while True:
            try:
                uses = self._measure()
            except NotMeasurableError as error:
                self.problem = str(error)
                return
            seconds = time.monotonic() - started
            self.samples += [
                Sample(use.source, use.cpu_cores, use.memory_bytes, seconds) for use in uses
            ]
            if self._closing.wait(self._interval_seconds):
                return


@contextmanager
def monitor(endpoints: Sequence[str], stack: StackOutputs | None) -> Generator[Monitor]:
    """A monitor of the servers at `endpoints` and of the one behind a web service, or of the pods
    of `stack` if that is on a cluster.

    Raises NotMeasurableError if they cannot be measured.
    """
    with ExitStack() as cleanup:
        if stack is not None and stack.kubeconfig_command:
            try:
                environment = cleanup.enter_context(kubeconfig_of(stack))
            except ToolError as error:
                raise NotMeasurableError(str(error)) from None
            yield cleanup.enter_context(Monitor(lambda: pods(environment), PODS_SECONDS))
        else:
            model_servers = [stack.model_endpoint] if stack and stack.page else []
            processes = {
                endpoint: server_process(endpoint)
                for endpoint in dict.fromkeys([*endpoints, *model_servers])
            }
            for process in processes.values():
                process.cpu_percent()  # the first call starts the interval
            yield cleanup.enter_context(Monitor(lambda: local(processes), PROCESS_SECONDS))


def server_process(endpoint: str) -> psutil.Process:
    """The process on this machine that listens at `endpoint`."""
    endpoint = normalize_endpoint(endpoint)
    if not is_loopback(endpoint):
        raise NotMeasurableError(f"{one_line(endpoint)} is not on this machine")
    port = urlsplit(endpoint).port or 80
    recorded = server_at(port, PROJECT_ROOT)
    if recorded is not None and recorded.process:
        return recorded.process
    try:
        for connection in psutil.net_connections("tcp"):
            address: Any = connection.laddr
            listens = connection.status == psutil.CONN_LISTEN and address and address.port == port
            if listens and connection.pid is not None:
                return psutil.Process(connection.pid)
    except psutil.Error:
        pass  # on some systems only root may list connections
    raise NotMeasurableError(f"none of your processes listens at {one_line(endpoint)}")


def local(processes: Mapping[str, psutil.Process]) -> list[Use]:
    """The use of these processes; CPU is the average since the previous call."""
    try:
        return [
            Use(source, process.cpu_percent() / 100, float(process.memory_info().rss))
            for source, process in processes.items()
        ]
    except psutil.Error:
        raise NotMeasurableError("the server's process has ended") from None


def pods(environment: Mapping[str, str]) -> list[Use]:
    """The use of the stack's pods, from `kubectl top`."""
    command = ["kubectl", "top", "pods", "-n", NAMESPACE, "-l", PODS, "--no-headers"]
    try:
        lines = tool_output(command, environment).splitlines()
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
            raise NotMeasurableError(
                f"unexpected output of kubectl top: {one_line(line)}"
            ) from None
    return uses


def _quantity(text: str, units: Mapping[str, float]) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return float(match[1]) * units[match[2]]
