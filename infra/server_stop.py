"""Stops a running server, or says why that cannot be done from here."""

from __future__ import annotations

import contextlib

import psutil

from infra.server_record import RunningServer

STOP_TIMEOUT_SECONDS = 20.0


class ServerStopError(Exception):
    """The server runs and cannot be stopped from here; the message says what to do."""


def stop(server: RunningServer) -> None:
    """Stop a server and wait until it has exited. Raises ServerStopError."""
    if server.process is None:
        raise ServerStopError(f"the server runs as {server}: stop it there, then run this again")
    try:
        terminate(server.process)
    except psutil.AccessDenied:
        raise ServerStopError(
            f"the server runs as {server}, which belongs to another user: let them stop it"
        ) from None
    except psutil.TimeoutExpired:
        raise ServerStopError(
            f"the server, {server}, does not end: wait until it has, then run this again"
        ) from None


def terminate(process: psutil.Process | None) -> None:
    """Send SIGTERM, then SIGKILL if the process does not exit in time; wait for its exit."""
    if process is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_SECONDS)
