"""The checks of the stack `local`: the server's process, its port, and the end of its log."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from client.doctor.finding import Finding, State
from infra.local.server_record import running_server
from prediction.errors import printable

LOG_LINES = 8
_CONNECT_SECONDS = 3.0


def local_findings(endpoint: str, state_folder: Path) -> Iterator[Finding]:
    """state_folder: where the server keeps its log and the record of its process.

    endpoint: empty as long as no `up` has finished.
    """
    server = running_server(state_folder)
    if server is None:
        yield Finding(
            "server", State.WRONG, "no server process is running: start it with `make up`"
        )
    elif server.process is None:
        yield Finding("server", State.UNKNOWN, f"running as {server}: run doctor there")
    else:
        yield Finding("server", State.OK, f"running as {server}")
    if endpoint:
        yield _port(endpoint, server is not None)
    yield _log(state_folder / "server.log")


def _port(endpoint: str, server_runs: bool) -> Finding:
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
            "port", State.WAIT, f"{message}: the server may still be starting, run doctor again"
        )
    if not server_runs:
        return Finding(
            "port",
            State.WRONG,
            f"another program is listening on {where}: stop it, or choose another restPort",
        )
    return Finding("port", State.OK, f"{where} accepts connections")


def _log(path: Path) -> Finding:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return Finding("log", State.WRONG, f"cannot read {path} ({error.strerror}): run `make up`")
    lines = tuple(printable(line) for line in text.splitlines()[-LOG_LINES:])
    return Finding("log", State.OK, f"the last lines of {path}", lines)
