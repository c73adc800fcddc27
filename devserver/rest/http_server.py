"""The REST API's port: its connections, and how many requests are handled at once."""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from devserver.errors import StartError
from devserver.memory import MemoryBudget
from devserver.model.loading import first_line
from devserver.rest.api import RestApi
from devserver.rest.connection import ConnectionLimits
from devserver.rest.http_handler import Handler

_POLL_SECONDS = 0.25
_TOO_MANY_CONNECTIONS = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)

log = logging.getLogger("devserver")


class HttpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens once constructed; `start` begins handling requests.

    Args:
        threads: how many requests are handled at once; 0 for no limit.
        memory: what bounds the bodies of all requests.

    Raises:
        StartError: the port is in use, or the address is not one of this machine.
    """

    allow_reuse_address = True
    allow_reuse_port = False
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        host: str,
        port: int,
        api: RestApi,
        threads: int,
        memory: MemoryBudget,
        limits: ConnectionLimits | None = None,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.api = api
        self.memory = memory
        self.limits = limits or ConnectionLimits()
        # TF Serving's event loop occupies one of its threads.
        self._slots = threading.BoundedSemaphore(max(1, threads - 1)) if threads > 0 else None
        self._connections = threading.BoundedSemaphore(self.limits.connections)
        self._active = 0
        self._idle = threading.Condition()
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            raise StartError(bind_message("REST", "rest_api_port", host, port, error)) from error

    def start(self) -> None:
        threading.Thread(
            target=self.serve_forever, args=(_POLL_SECONDS,), name="rest", daemon=True
        ).start()

    def stop(self, deadline: float) -> None:
        """Stops accepting connections, then waits for the requests in flight."""
        self.shutdown()
        self.server_close()
        with self._idle:
            self._idle.wait_for(
                lambda: self._active == 0, timeout=max(0.0, deadline - time.monotonic())
            )

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Counts a request that has come whole until its response is sent."""
        with self._idle:
            self._active += 1
        try:
            yield
        finally:
            with self._idle:
                self._active -= 1
                self._idle.notify_all()

    def slot(self) -> contextlib.AbstractContextManager[Any]:
        """Waits until fewer than the allowed number of requests are being handled."""
        return self._slots or contextlib.nullcontext()

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection, or a refusal if there are too many."""
        if not self._connections.acquire(blocking=False):
            log.warning("REST refused a connection: there are %d", self.limits.connections)
            with contextlib.suppress(OSError):
                request.setblocking(False)
                request.send(_TOO_MANY_CONNECTIONS)
            self.close_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError | TimeoutError):
            log.error("REST connection failed: %s: %s", type(error).__name__, first_line(error))


def bind_message(what: str, flag: str, host: str, port: int, error: BaseException) -> str:
    """Why a port could not be bound, in one line."""
    reason = getattr(error, "strerror", None) or first_line(error)
    return f"cannot listen on {what} port {port} of {host}: {reason}; choose another with --{flag}"
