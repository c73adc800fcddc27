"""A registry in memory, as much of the OCI Distribution API as a push and a pull need."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class StubRegistry:
    """Blobs belong to repositories; a manifest needs its blobs to be there, as in real ones."""

    def __init__(self) -> None:
        self.host = ""
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        """By repository and tag or digest: media type and content."""
        self.asked: list[str] = []
        """Method and path of each request."""
        self.mounts = True
        self.deletes = True

    def pushes(self) -> list[str]:
        return [one for one in self.asked if one.split()[0] not in ("GET", "HEAD")]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is part of the tests."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server on loopback: its host and port."""
    server = _Server(("127.0.0.1", 0), handler)
    poll = {"poll_interval": 0.01}
    thread = threading.Thread(target=server.serve_forever, kwargs=poll, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def stub_registry() -> Iterator[StubRegistry]:
    registry = StubRegistry()
    with serving(type("Handler", (_Handler,), {"registry": registry})) as registry.host:
        yield registry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: StubRegistry

    def do_HEAD(self) -> None:
        self._read()

    def do_GET(self) -> None:
        self._read()

    def do_POST(self) -> None:
        repository, _, _ = self._split()
        query = parse_qs(urlsplit(self.path).query)
        digest = (query.get("mount") or [""])[0]
        source = (query.get("from") or [""])[0]
        if self.registry.mounts and (source, digest) in self.registry.blobs:
            self.registry.blobs[repository, digest] = self.registry.blobs[source, digest]
            self._answer(201)
        else:
            self._answer(202, headers={"Location": f"/v2/{repository}/blobs/uploads/1?state=a"})

    def do_PUT(self) -> None:
        repository, kind, version = self._split()
        content = self.rfile.read(int(self.headers["Content-Length"]))
        digest = f"sha256:{sha256(content).hexdigest()}"
        named = parse_qs(urlsplit(self.path).query).get("digest", [version])[0]
        if named.startswith("sha256:") and named != digest:  # such as one that was cut
            self._answer(400)
            return
        if kind == "manifests":
            media_type = self.headers["Content-Type"]
            for one in {version, digest}:
                self.registry.manifests[repository, one] = (media_type, content)
        else:
            self.registry.blobs[repository, digest] = content
        self._answer(201)

    def do_DELETE(self) -> None:
        repository, _, version = self._split()
        if not self.registry.deletes:
            self._answer(405)
            return
        found = self.registry.manifests.pop((repository, version), None)
        self._answer(202 if found else 404)

    def _read(self) -> None:
        repository, kind, version = self._split()
        if kind == "manifests":
            media_type, content = self.registry.manifests.get((repository, version), ("", b""))
        else:
            media_type = "application/octet-stream"
            content = self.registry.blobs.get((repository, version), b"")
        if content:
            self._answer(200, content, {"Content-Type": media_type})
        else:
            self._answer(404, b'{"errors":[{"code":"UNKNOWN","message":"unknown"}]}')

    def _split(self) -> tuple[str, str, str]:
        """Repository, kind and version of /v2/REPOSITORY/KIND/VERSION."""
        self.registry.asked.append(f"{self.command} {self.path}")
        path = urlsplit(self.path).path.removeprefix("/v2/")
        for kind in ("manifests", "blobs"):
            repository, found, version = path.partition(f"/{kind}/")
            if found:
                return repository, kind, version
        raise AssertionError(self.path)

    def _answer(
        self, status: int, content: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
