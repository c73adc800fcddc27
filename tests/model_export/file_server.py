"""A web server of a few files that can misbehave the way real ones do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """files by path. `cuts` are after how many bytes the next answers break off; `statuses` what
    the next ones say instead; `ranges` whether parts are given; `asked` the Range of each request.
    """

    def __init__(self, **files: bytes) -> None:
        self.files = files
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.ranges = True
        self.asked: list[str | None] = []
        self.url = ""


@contextmanager
def serving(server: FileServer) -> Iterator[FileServer]:
    handler = type("Handler", (_Handler,), {"files_server": server})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(
        target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_port}"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True  # headers and body leave in two writes
    files_server: FileServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.files_server
        wanted = self.headers.get("Range")
        server.asked.append(wanted)
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
            return
        content = server.files.get(self.path.strip("/"))
        if server.statuses or content is None:
            self.send_error(server.statuses.pop(0) if server.statuses else 404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        self.wfile.write(rest[: server.cuts.pop(0)] if server.cuts else rest)
