"""What tests of processes share: whether one runs, waiting for a condition, ports of their own."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable

import psutil

LIMIT_SECONDS = 60.0
BELOW_EPHEMERAL_PORTS = range(20_000, 32_000)


def is_running(pid: int) -> bool:
    """Whether the process lives; one that has ended and was not waited for does not."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def wait_until(
    condition: Callable[[], bool], what: str, limit_seconds: float = LIMIT_SECONDS
) -> None:
    """Wait for a condition; fails the test if it does not come about within the limit."""
    deadline = time.monotonic() + limit_seconds
    pause = 0.005
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit_seconds:g} s for {what}"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on.

    Not those that the system itself picks, which another test's connection could take meanwhile.
    """
    ports: list[int] = []
    for port in random.SystemRandom().sample(BELOW_EPHEMERAL_PORTS, len(BELOW_EPHEMERAL_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            break
    return ports
