"""Connections stay known to load balancers and routers while a picture is drawn."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from client import AsyncClient, Client
from tests.client.fake_serving import FakeServing


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """All options that are set on sockets."""
    found: list[tuple[Any, ...]] = []
    real = socket.socket.setsockopt

    def spy(self: socket.socket, *option: Any) -> None:
        found.append(option)
        real(self, *option)

    monkeypatch.setattr(socket.socket, "setsockopt", spy, raising=False)
    return found


@pytest.mark.parametrize("asynchronous", [False, True])
def test_rest_connections_send_keepalives_while_nothing_else_is_sent(
    server: FakeServing, options: list[tuple[Any, ...]], asynchronous: bool
) -> None:
    async def status() -> None:
        async with AsyncClient(Client(server.endpoint)) as client:
            await client.status()

    if asynchronous:
        asyncio.run(status())
    else:
        with Client(server.endpoint) as client:
            client.status()
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in options
    assert (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30) in options
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in options
