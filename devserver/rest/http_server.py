"""HTTP/1.1 over sockets for the REST API: connections, bodies, gzip, and the log of requests."""

from __future__ import annotations

import contextlib
import http.server
import logging
import re
import socket
import socketserver
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from http import HTTPStatus

from devserver.errors import StartError
from devserver.log import shown
from devserver.model.loading import first_line
from devserver.rest import json_answer
from devserver.rest.api import Response, RestApi

MAX_BODY_BYTES = 100_000_000
"""TF Serving's limit for a decompressed body, here for every body."""

_READ_BYTES = 1 << 20
_GZIP_WINDOW_BITS = 31
_POLL_SECONDS = 0.25
_SCHEME_AND_HOST = re.compile(r"^https?://[^/?#]*", re.IGNORECASE)
"""The part before the path in a proxy-style request."""

log = logging.getLogger("devserver")


class _BodyError(Exception):
    """A body that cannot be read; the connection is closed after the response."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HttpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens once constructed; `start` begins handling requests.

    Args:
        threads: how many requests are handled at once; 0 for no limit.

    Raises:
        StartError: the port is in use, or the address is not one of this machine.
    """

    allow_reuse_address = True
    allow_reuse_port = False
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, api: RestApi, threads: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.api = api
        # TF Serving's event loop occupies one of its threads.
        self.slots = threading.BoundedSemaphore(max(1, threads - 1)) if threads > 0 else None
        self._active = 0
        self._idle = threading.Condition()
        try:
            super().__init__((host, port), _Handler)
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
    def request_in_flight(self) -> Iterator[None]:
        """Counts a request until it is finished, and waits for a free slot first."""
        with self._idle:
            self._active += 1
        try:
            with self.slots or contextlib.nullcontext():
                yield
        finally:
            with self._idle:
                self._active -= 1
                self._idle.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError | TimeoutError):
            log.error("REST connection failed: %s: %s", type(error).__name__, first_line(error))


def bind_message(what: str, flag: str, host: str, port: int, error: BaseException) -> str:
    """Why a port could not be bound, in one line."""
    reason = getattr(error, "strerror", None) or first_line(error)
    return f"cannot listen on {what} port {port} of {host}: {reason}; choose another with --{flag}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet for headers and body
    default_request_version = "HTTP/1.0"  # so that even a malformed request gets a status line
    server_version = "devserver"
    sys_version = ""
    error_content_type = "text/html"
    error_message_format = (
        "<html><head><title>%(code)d %(message)s</title></head>"
        "<body><h1>%(message)s</h1></body></html>\n"
    )
    server: HttpServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def _serve(self) -> None:
        start = time.monotonic()
        with self.server.request_in_flight():
            response = self._respond()
            if response is None:
                self.close_connection = True
                return
            try:
                self._send(response)
            finally:  # also if the client did not wait for the response
                self._log(response, time.monotonic() - start)

    def _log(self, response: Response, seconds: float) -> None:
        wait = response.queue_wait_seconds
        log.info(
            "REST %s %s %d %.1f ms%s",
            self.command,
            shown(self.path),
            response.status,
            seconds * 1000,
            "" if wait is None else f", queued {wait * 1000:.1f} ms",
        )

    def _respond(self) -> Response | None:
        try:
            body = self._read_body()
            if body is None:
                return None
            path = _SCHEME_AND_HOST.sub("", self.path, count=1) or "/"
            return self.server.api.handle(self.command, path, self.headers, body)
        except _BodyError as error:
            return Response(error.status, json_answer.error_body(str(error)), close=True)
        except Exception as error:
            log.exception("REST %s %s failed", self.command, shown(self.path))
            message = f"Internal error: {type(error).__name__}"
            return Response(500, json_answer.error_body(message), close=True)

    def _send(self, response: Response) -> None:
        self.close_connection = self.close_connection or response.close
        self.send_response_only(response.status)
        if response.content_type:
            self.send_header("Content-Type", response.content_type)
        self.send_header("Date", self.date_time_string())
        self.send_header("Content-Length", str(len(response.body)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        self.wfile.flush()

    def _read_body(self) -> bytes | None:
        """The decompressed body; None if the client disconnects before its end."""
        encoding = self.headers.get("Transfer-Encoding", "").strip().lower()
        length = self.headers.get_all("Content-Length") or []
        if encoding:
            if encoding != "chunked" or length:
                raise _BodyError(HTTPStatus.BAD_REQUEST, "Bad Transfer-Encoding")
            body = self._read_chunks()
        elif length:
            text = length[0].strip()
            if len(set(length)) > 1 or not (text.isascii() and text.isdigit()):
                raise _BodyError(HTTPStatus.BAD_REQUEST, "Bad Content-Length")
            body = self._read_exactly(self._checked(int(text[:20])))
        else:
            body = b""
        if body and "gzip" in self.headers.get("Content-Encoding", "").lower():
            return _inflate(body)
        return body

    def _checked(self, size: int) -> int:
        if size > MAX_BODY_BYTES:
            raise _BodyError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The body is larger than this server's limit of {MAX_BODY_BYTES} bytes",
            )
        return size

    def _read_exactly(self, size: int) -> bytes | None:
        parts: list[bytes] = []
        while size:
            part = self.rfile.read(min(size, _READ_BYTES))
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _read_chunks(self) -> bytes | None:
        parts: list[bytes] = []
        total = 0
        while True:
            line = self.rfile.readline(1024)
            digits = line.partition(b";")[0].strip()
            if not line.endswith(b"\n"):
                return None
            try:
                size = int(digits, 16) if digits.isalnum() else -1
            except ValueError:
                size = -1
            if size < 0:
                raise _BodyError(HTTPStatus.BAD_REQUEST, "Bad chunk size")
            total = self._checked(total + size)
            if size == 0:
                break
            part = self._read_exactly(size)
            if part is None or self.rfile.readline(3) not in (b"\r\n", b"\n"):
                return None
            parts.append(part)
        while self.rfile.readline(65537) not in (b"\r\n", b"\n", b""):
            pass  # trailers
        return b"".join(parts)

    def handle_expect_100(self) -> bool:
        """curl sends `Expect` with large bodies, and waits a second if nothing comes."""
        proceed = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Python's own errors, without the client's text in the response."""
        super().send_error(code)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Python's own messages: malformed requests that never reach `_serve`."""
        if format.startswith("code"):
            log.info("REST refused a request: %s", shown(" ".join(map(str, args))))


# BaseHTTPRequestHandler looks for a method by the request's verb; others get a 501.
for _verb in ("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
    setattr(_Handler, f"do_{_verb}", _Handler._serve)


def _inflate(body: bytes) -> bytes:
    """As in TF Serving, a body that cannot be decompressed within the limit counts as empty."""
    inflater = zlib.decompressobj(_GZIP_WINDOW_BITS)
    try:
        text = inflater.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        return b""
    return text if inflater.eof and len(text) <= MAX_BODY_BYTES else b""
