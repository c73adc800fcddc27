"""A proxy on loopback that refuses every request and remembers that it was asked."""

from __future__ import annotations

import socket
import threading

import pytest

VARIABLES = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")


class RefusingProxy:
    """Listens from its construction until `close`."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(connection.recv(4096).decode(errors="replace"))
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def put_into(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Name the proxy in the environment, without an exception."""
        for name in VARIABLES:
            monkeypatch.setenv(name, self.url)
            monkeypatch.setenv(name.upper(), self.url)
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
