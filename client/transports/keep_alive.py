"""TCP keepalive for connections on which nothing is sent while a picture is drawn, for minutes.

Load balancers, NAT gateways and routers forget a silent connection, some after a minute; then a
server's answer, or its end, never arrives.
"""

from __future__ import annotations

import socket

_IDLE_SECONDS = 30
_INTERVAL_SECONDS = 15
_PROBES = 4
"""So that a server that is gone is noticed after 30 + 4 × 15 s."""

SocketOption = tuple[int, int, int]

# The names differ: macOS calls the idle time TCP_KEEPALIVE, Windows' older Pythons lack some.
_TIMES = {
    "TCP_KEEPIDLE": _IDLE_SECONDS,
    "TCP_KEEPALIVE": _IDLE_SECONDS,
    "TCP_KEEPINTVL": _INTERVAL_SECONDS,
    "TCP_KEEPCNT": _PROBES,
}
KEEP_ALIVE: tuple[SocketOption, ...] = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in _TIMES.items()
        if hasattr(socket, name)
    ),
)
"""Options of a socket, as urllib3 and httpx take them."""
