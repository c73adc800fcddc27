"""Stops a running server, or says why that cannot be done from here."""

from __future__ import annotations

import contextlib
import time

import psutil

from infra.local.server_record import RunningServer

STOP_TIMEOUT_SECONDS = 20.0
_POLL_SECONDS = 0.02


class ServerStopError(Exception):
    """The server runs and cannot be stopped from here; the message says what to do."""


def stop(server: RunningServer) -> None:
    """Stop a server and wait until it has exited. Raises ServerStopError."""
    if server.process is None:
        raise ServerStopError(
            f"the {server.name} runs as {server}: stop it there, then run this again"
        )
    try:
        terminate(server.process)
    except psutil.AccessDenied:
        raise ServerStopError(
            f"the {server.name} runs as {server}, which belongs to another user: let them stop it"
        ) from None
    except psutil.TimeoutExpired:
        raise ServerStopError(
            f"the {server.name}, {server}, does not end: wait until it has, then run this again"
        ) from None


def terminate(process: psutil.Process | None) -> None:
    """Send SIGTERM, then SIGKILL if the process does not exit in time; wait for its exit."""
    if process is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            _wait(process)
        except psutil.TimeoutExpired:
            process.kill()
            _wait(process)


def _wait(process: psutil.Process) -> None:
    """Wait until the process has exited. Raises psutil.TimeoutExpired.

    `Process.wait` would also wait for the parent to notice, which may be a container's first
    process that never does.
    """
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while not _has_ended(process):
        if time.monotonic() > deadline:
            raise psutil.TimeoutExpired(STOP_TIMEOUT_SECONDS, process.pid)
        time.sleep(_POLL_SECONDS)


def _has_ended(process: psutil.Process) -> bool:
    if not process.is_running():
        return True
    if process.status() != psutil.STATUS_ZOMBIE:
        return False
    # The first thread has ended. The others, while they live, hold the ports and the lock.
    with contextlib.suppress(psutil.Error):
        return process.num_threads() <= 1
    return True
