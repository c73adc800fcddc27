"""The checks of the stack `local`: each server's process, its port, and the end of its log."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from client.doctor.finding import Finding, State
from infra.local.server_record import SERVER_NAMES, log_file, running_server
from prediction.errors import printable

LOG_LINES = 8
_CONNECT_SECONDS = 3.0


@dataclass(frozen=True)
class LocalServer:
    """One of the servers on this machine.

    folder: its own in `.state`, which names its check too. port_key: the setting of the port that
    clients use.
    """

    folder: str
    name: str
    port_key: str


MODEL_SERVER = LocalServer("server", SERVER_NAMES["devserver"], "restPort")
WEB_SERVICE = LocalServer("web", SERVER_NAMES["web"], "webPort")


def local_findings(which: LocalServer, endpoint: str, state: Path) -> Iterator[Finding]:
    """state: the folder `.state`, with the server's log and the record of its process.

    endpoint: empty as long as no `up` has finished.
    """
    folder = state / which.folder
    server = running_server(folder)
    if server is None:
        message = f"the {which.name} is not running: start it with `make up`"
        yield Finding(which.folder, State.WRONG, message)
    elif server.process is None:
        message = f"the {which.name} runs as {server}: run doctor there"
        yield Finding(which.folder, State.UNKNOWN, message)
    else:
        yield Finding(which.folder, State.OK, f"the {which.name} runs as {server}")
    if endpoint:
        yield _port(which, endpoint, server is not None)
    yield _log(log_file(folder))


def _port(which: LocalServer, endpoint: str, server_runs: bool) -> Finding:
    address = urlsplit(endpoint)
    where = f"{address.hostname}:{address.port}"
    try:
        with socket.create_connection(
            (address.hostname or "", address.port or 0), _CONNECT_SECONDS
        ):
            pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        message = f"cannot connect to {where} ({reason or error})"
        if not server_runs:
            return Finding("port", State.WRONG, f"{message}: run `make up`")
        return Finding(
            "port", State.WAIT, f"{message}: the {which.name} may be starting, run doctor again"
        )
    if not server_runs:
        return Finding(
            "port",
            State.WRONG,
            f"another program is listening on {where}: stop it, or choose another {which.port_key}",
        )
    return Finding("port", State.OK, f"{where} accepts connections")


def _log(path: Path) -> Finding:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return Finding("log", State.WRONG, f"cannot read {path} ({error.strerror}): run `make up`")
    lines = tuple(printable(line) for line in text.splitlines()[-LOG_LINES:])
    return Finding("log", State.OK, f"the last lines of {path}", lines)
