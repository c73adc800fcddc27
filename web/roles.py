"""The roles in which the web service runs: whole, or divided into a front and its workers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    BOTH = "both"
    """All in one process."""
    FRONT = "front"
    """The page, all APIs, the queue and the results; each job is drawn by a worker."""
    WORKER = "worker"
    """Beside one model server: draws one job at a time, and has no queue."""


_OF_A_FRONT = {
    "worker_url": "--worker-url",
    "model_description": "--model-description",
    "worker_key_file": "--worker-key-file",
}
_OPTIONAL = "worker_key_file"


def complaint(options: Mapping[str, Any]) -> str | None:
    """What is missing for the role, or belongs to another. options: by the names of `Options`."""
    role, servers = options["role"], options["model_servers"]
    if role is Role.FRONT:
        if servers:
            return "a front has no --model-server: its workers have; leave it out"
        for name, flag in _OF_A_FRONT.items():
            if name != _OPTIONAL and not options[name]:
                return f"a front needs {flag}: give it"
        return None
    for name, flag in _OF_A_FRONT.items():
        if options[name]:
            return f"{flag} is a front's: leave it out, or add --role front"
    if not servers:
        return "--model-server is missing: give the gRPC address of a model server"
    if role is Role.WORKER and len(servers) > 1:
        return "a worker draws on one model server: give --model-server once"
    return None
