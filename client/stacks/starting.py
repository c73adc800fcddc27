"""Whether the server of the stack `local` is on its way."""

from __future__ import annotations

import time
from pathlib import Path

from client.stacks.discovery import PROJECT_ROOT
from client.stacks.engine import LOCAL_STACK

USUAL_START_SECONDS = 25.0
"""On two cores, for the demo model."""


def running_seconds(stack: str, root: Path = PROJECT_ROOT) -> float | None:
    """For how long the recorded server process has run; None if there is none.

    A process that runs and does not listen yet is starting.
    """
    if stack != LOCAL_STACK:
        return None
    from infra.local.server_record import running_server  # psutil, which most runs do not need

    server = running_server(root / ".state" / "server")
    return None if server is None else max(time.time() - server.record.started, 0.0)


def is_running(stack: str, root: Path = PROJECT_ROOT) -> bool:
    return running_seconds(stack, root) is not None
