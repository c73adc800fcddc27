"""The servers of the stack `local` as their records tell: whether one is on its way, and where."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from client.stacks.discovery import PROJECT_ROOT
from client.stacks.engine import LOCAL_STACK
from prediction.endpoints import Protocol

if TYPE_CHECKING:
    from infra.local.server_record import RunningServer

USUAL_START_SECONDS = 25.0
"""Of the model server on two cores, for the demo model."""

_MODEL_SERVER = "server"
_WEB_SERVICE = "web"


def running_seconds(stack: str, root: Path = PROJECT_ROOT) -> float | None:
    """For how long the recorded model server has run; None if there is none.

    A process that runs and does not listen yet is starting.
    """
    if stack != LOCAL_STACK:
        return None
    server = _recorded(_MODEL_SERVER, root)
    return None if server is None else max(time.time() - server.record.started, 0.0)


def is_running(stack: str, root: Path = PROJECT_ROOT) -> bool:
    return running_seconds(stack, root) is not None


def all_run(stack: str, protocol: Protocol, root: Path = PROJECT_ROOT) -> bool:
    """Whether every server between a client with this protocol and the model is running."""
    needs_web = protocol is Protocol.WEB
    return is_running(stack, root) and not (needs_web and _recorded(_WEB_SERVICE, root) is None)


def server_at(port: int, root: Path = PROJECT_ROOT) -> RunningServer | None:
    """The recorded server that has this port, of whichever API."""
    for folder in (_MODEL_SERVER, _WEB_SERVICE):
        server = _recorded(folder, root)
        if server is not None and port in server.record.ports:
            return server
    return None


def _recorded(folder: str, root: Path) -> RunningServer | None:
    from infra.local.server_record import running_server  # psutil, which most runs do not need

    return running_server(root / ".state" / folder)
