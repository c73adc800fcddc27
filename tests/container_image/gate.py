"""A door before a registry, as strict as Artifact Registry and as unreliable as a network."""

from __future__ import annotations

import base64
import http.client
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from tests.container_image.stub_registry import serving

_CHUNK = 1 << 14
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


@dataclass
class Gate:
    """wants: "" (nothing), "basic", or "token", which a login at /token gives.

    statuses: what the next requests are answered, before they get through. cuts: how many
    connections are still to be cut, each at a drawn point, in what is sent or in the answer.
    seconds: how long each request takes. has: whether there is such a repository.
    """

    behind: str
    wants: str = ""
    user: str = "user"
    password: str = "pass word"
    statuses: list[int] = field(default_factory=list[int])
    message: str = ""
    cuts: int = 0
    seconds: float = 0.0
    has: Callable[[str], bool] = lambda _repository: True
    draw: random.Random = field(default_factory=lambda: random.Random(1))
    host: str = ""
    asked: list[str] = field(default_factory=list[str])
    scopes: list[str] = field(default_factory=list[str])
    refused_chunks: int = 0

    @property
    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class _CutError(Exception):
    pass


class GateHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gate: Gate

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def do_PATCH(self) -> None:
        self.gate.refused_chunks += 1
        self._refuse(405)

    def _handle(self) -> None:
        self.gate.asked.append(f"{self.command} {self.path}")
        time.sleep(self.gate.seconds)
        if urlsplit(self.path).path == "/token":
            self._give_token()
        elif self.gate.statuses:
            self._refuse(self.gate.statuses.pop(0))
        elif challenge := self._challenge():
            self._refuse(401, {"WWW-Authenticate": challenge})
        elif not self.gate.has(self._repository()):
            self._refuse(404)
        else:
            try:
                self._forward()
            except _CutError:
                self.close_connection = True
                self.connection.close()

    def _challenge(self) -> str:
        given = self.headers.get("Authorization", "")
        if self.gate.wants == "basic" and given != self.gate.basic:
            return 'Basic realm="here"'
        repository = self._repository()
        actions = "pull" if self.command in ("GET", "HEAD") else "pull,push"
        scope = f"repository:{repository}:{actions}"
        if self.gate.wants == "token" and given != f"Bearer token {scope}":
            realm = f"http://{self.gate.host}/token"
            return f'Bearer realm="{realm}",service="registry",scope="{scope}"'
        return ""

    def _repository(self) -> str:
        below = urlsplit(self.path).path.removeprefix("/v2/")
        return below.partition("/blobs/")[0].partition("/manifests/")[0]

    def _give_token(self) -> None:
        scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
        self.gate.scopes += scopes
        if self.headers.get("Authorization", "") != self.gate.basic:
            self._refuse(401)
            return
        self._answer(200, json.dumps({"token": f"token {scopes[0]}"}).encode())

    def _forward(self) -> None:
        body = int(self.headers.get("Content-Length") or 0)
        cut = self._drawn_cut(body)
        sent = 0
        connection = http.client.HTTPConnection(self.gate.behind, timeout=60)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in {*_HOP_BY_HOP, "authorization"}:
                    connection.putheader(name, value)
            connection.endheaders()
            while sent < body:
                part = self.rfile.read(min(_CHUNK, body - sent))
                if not part:
                    raise _CutError
                connection.send(part)
                sent += len(part)
                if cut is not None and cut < sent:
                    raise _CutError
            answer = connection.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.end_headers()
            while part := answer.read(_CHUNK):
                sent += len(part)
                if cut is not None and cut < sent:
                    raise _CutError
                self.wfile.write(part)
        finally:
            connection.close()
        if cut is not None:
            raise _CutError

    def _drawn_cut(self, body: int) -> int | None:
        """After how many bytes."""
        if self.gate.cuts == 0 or self.gate.draw.random() < 0.5:
            return None
        self.gate.cuts -= 1
        return self.gate.draw.randrange(max(body, _CHUNK))

    def _refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0 and (part := self.rfile.read(min(_CHUNK, left))):
            left -= len(part)
        error = {"code": "DENIED", "message": self.gate.message}
        self._answer(status, json.dumps({"errors": [error]}).encode(), headers)

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def gate_before(
    host: str, handler: type[GateHandler] = GateHandler, **options: object
) -> Iterator[Gate]:
    gate = Gate(host, **options)  # type: ignore[arg-type]
    with serving(type("Handler", (handler,), {"gate": gate})) as gate.host:
        yield gate
