"""Ends a program whose servers cannot have their ports, before it exports a model for them."""

from __future__ import annotations

from pathlib import Path

import pulumi

from infra.local import ports
from infra.local.provider import LOOPBACK
from infra.local.server_record import running_server
from infra.settings.stack import LocalSettings

_OF_MODEL_SERVER = ("restPort", "grpcPort")


def require_free_ports(asked: LocalSettings, model_server: Path, web_service: Path) -> None:
    """End the program if another program has a port of a server that is to be started.

    model_server, web_service: their state folders. It is checked here, since the servers start
    only after the export.
    """
    own: set[int] = set()
    for folder in (web_service, model_server):
        server = running_server(folder)
        if server is None:
            continue
        if len(server.record.ports) < len(_OF_MODEL_SERVER):
            return  # a record of an earlier version does not tell all of its ports
        own |= set(server.record.ports)
        if folder == web_service:  # it still runs when the model server starts
            own -= {asked.by_key[key] for key in _OF_MODEL_SERVER}
    if problem := ports.problem(LOOPBACK, asked.by_key, own, pulumi.get_stack()):
        raise pulumi.RunError(problem)
