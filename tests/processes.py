"""What tests of processes share: whether one runs, waiting for a condition, ports of their own."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import psutil

LIMIT_SECONDS = 60.0


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
    """Ports that the system picked and that are free again."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
