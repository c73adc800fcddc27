"""One client's connection: HTTP/1.1 requests and responses, and the log of them."""

from __future__ import annotations

import contextlib
import http.server
import io
import logging
import re
import socket
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from devserver.errors import ServingError
from devserver.log import shown
from devserver.rest import body, json_answer
from devserver.rest.api import Response
from devserver.rest.connection import HeadTooLargeError, TimedReader

if TYPE_CHECKING:
    from devserver.rest.http_server import HttpServer

_SCHEME_AND_HOST = re.compile(r"^https?://[^/?#]*", re.IGNORECASE)
"""The part before the path in a proxy-style request."""

log = logging.getLogger("devserver")


class Handler(http.server.BaseHTTPRequestHandler):
    """Reads a whole request before it takes one of the server's slots to handle it."""

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

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._reader = TimedReader(self.connection, self.server.limits)
        self.rfile = self._stream = io.BufferedReader(self._reader)
        self._expects_continue = False
        self._is_refused = False

    def finish(self) -> None:
        """After a refusal, first reads what is still coming: closed at once, the kernel would take
        the response back from a client that is still sending."""
        super().finish()
        if not self._is_refused:
            return
        deadline = time.monotonic() + self.server.limits.linger_seconds
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while (seconds := deadline - time.monotonic()) > 0:
                self.connection.settimeout(seconds)
                if not self.connection.recv(1 << 16):
                    break

    def handle_one_request(self) -> None:
        self.close_connection = True
        with contextlib.suppress(TimeoutError):
            self._reader.expect_request()
            if not self._stream.peek(1):
                return
            self._reader.expect_head()
            try:
                super().handle_one_request()
            except HeadTooLargeError:
                self.requestline, self.command = "", ""
                self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def parse_request(self) -> bool:
        self._expects_continue = False
        if not super().parse_request():
            return False
        if self.headers.defects:
            # A line among the headers that is none, which ends them for Python.
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        fields = self.headers.get_all("Connection") or []
        wishes = {wish.strip().lower() for wish in ",".join(fields).split(",")}
        is_old = self.request_version == "HTTP/1.0"
        self.close_connection = "close" in wishes or (is_old and "keep-alive" not in wishes)
        return True

    def _serve(self) -> None:
        start = time.monotonic()
        with contextlib.ExitStack() as stack:
            response = self._respond(stack)
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

    def _respond(self, until_sent: contextlib.ExitStack) -> Response | None:
        """The response; None if there is nobody to send it to."""
        try:
            with self.server.memory.share() as share:
                self._reader.expect_body()
                content = body.read(self.headers, self._stream, share, self._send_continue)
                until_sent.enter_context(self.server.request())
                path = _SCHEME_AND_HOST.sub("", self.path, count=1) or "/"
                with self.server.slot():
                    return self.server.api.handle(self.command, path, self.headers, content)
        except (body.DisconnectedError, ConnectionError):
            return None
        except TimeoutError:
            return _refusal(HTTPStatus.REQUEST_TIMEOUT, "The body did not come in time")
        except body.BodyError as error:
            return _refusal(error.status, str(error))
        except ServingError as error:
            return _refusal(error.http_status, error.message)
        except Exception as error:
            log.exception("REST %s %s failed", self.command, shown(self.path))
            return _refusal(500, f"Internal error: {type(error).__name__}")

    def _send(self, response: Response) -> None:
        self._is_refused = response.close
        self.close_connection = self.close_connection or response.close
        self.connection.settimeout(self.server.limits.pause_seconds)
        self.send_response_only(response.status)
        if response.content_type:
            self.send_header("Content-Type", response.content_type)
        self.send_header("Date", self.date_time_string())
        self.send_header("Content-Length", str(len(response.body)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        elif self.request_version == "HTTP/1.0":
            self.send_header("Connection", "keep-alive")
        self.end_headers()
        try:
            if self.command != "HEAD":
                self.wfile.write(response.body)
            self.wfile.flush()
        except OSError:
            with contextlib.suppress(OSError):  # so that nothing waits for the client once more
                self.connection.shutdown(socket.SHUT_RDWR)
            raise

    def handle_expect_100(self) -> bool:
        """`_send_continue` answers, once it is known that the body is wanted."""
        self._expects_continue = True
        return True

    def _send_continue(self) -> None:
        """curl sends `Expect` with large bodies, and waits a second if nothing comes."""
        if self._expects_continue:
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
            self.wfile.flush()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Python's own errors, without the client's text in the response."""
        self._is_refused = True
        super().send_error(code)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Python's own messages: malformed requests that never reach `_serve`."""
        if format.startswith("code"):
            log.info("REST refused a request: %s", shown(" ".join(map(str, args))))


# BaseHTTPRequestHandler looks for a method by the request's verb; others get a 501.
for _verb in ("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
    setattr(Handler, f"do_{_verb}", Handler._serve)


def _refusal(status: int, message: str) -> Response:
    return Response(status, json_answer.error_body(message), close=True)
