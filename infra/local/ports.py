"""The ports of the local server: which are taken, and what to do about it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection, Mapping

import psutil

_PROJECT = "diffusion-serving"
_STEP = 10
_HIGHEST_PORT = 65535


def problem(
    host: str, ports: Mapping[str, int], own: Collection[int] = (), stack: str = "local"
) -> str | None:
    """What is wrong with the ports, with the lines that remedy it; None if all are free.

    ports: by the name of the setting.
    own: ports that may be taken, since our own server holds them.
    """
    taken = {
        key: port for key, port in ports.items() if port not in own and not is_free(host, port)
    }
    if not taken:
        return None
    lines: list[str] = []
    refused = {*ports.values(), *own}
    for key, port in taken.items():
        other = _free_port(host, port, refused)
        refused.add(other)
        lines.append(f"\n  {_PROJECT}:{key}: {other}")
    if len(taken) == 1:
        found = f"port {next(iter(taken.values()))} is in use by another program"
    else:
        found = f"ports {' and '.join(map(str, taken.values()))} are in use by other programs"
    return (
        f"{found} ({_holders(taken.values())}): stop it, or put into "
        f"Pulumi.{stack}.yaml, under `config:`{''.join(lines)}"
    )


def _holders(ports: Collection[int]) -> str:
    """The processes that listen there, as far as the system tells: not those of other users."""
    found: set[str] = set()
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr
            if listens and listens.port in ports and connection.pid is not None:
                with contextlib.suppress(psutil.Error):
                    folder = psutil.Process(connection.pid).cwd()
                    found.add(f"process {connection.pid}, in {folder}")
    return "; ".join(sorted(found)) or "the server of another checkout?"


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free_port(host: str, taken: int, refused: Collection[int]) -> int:
    for port in (*range(taken + _STEP, _HIGHEST_PORT, _STEP), *range(taken - 1, 1024, -1)):
        if port not in refused and is_free(host, port):
            return port
    return taken
