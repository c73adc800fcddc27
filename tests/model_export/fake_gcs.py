"""Enough of Google Cloud Storage's JSON API for the real client library, in memory."""

from __future__ import annotations

import base64
import email.parser
import email.policy
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c

KEPT_UNTIL = "2131-01-01T00:00:00.000Z"


class FakeGcs:
    """Buckets of objects: content and metadata by name. `refuse` answers everything with 403.

    `before_request` is called first for every request. With `retains`, a retention policy keeps
    every object as it is.
    """

    def __init__(self, *buckets: str) -> None:
        self.before_request: Callable[[], object] = lambda: None
        self.buckets: dict[str, dict[str, tuple[bytes, dict[str, str]]]] = {b: {} for b in buckets}
        self.uploads: dict[str, tuple[str, dict[str, Any]]] = {}
        self.log: list[str] = []
        self.refuse = False
        self.retains = False
        self.url = ""
        self.mutex = threading.Lock()
        self._generations: dict[tuple[str, str], tuple[int, object]] = {}

    def generation(self, bucket: str, name: str) -> int:
        """The version of an object, also of one that a test put there; 0 if there is none."""
        found = self.buckets[bucket].get(name)
        if found is None:
            return 0
        known, content = self._generations.get((bucket, name), (0, None))
        if content is not found:
            known = max((seen for seen, _ in self._generations.values()), default=0) + 1
            self._generations[bucket, name] = known, found
        return known


@contextmanager
def serving(gcs: FakeGcs) -> Iterator[FakeGcs]:
    handler = type("Handler", (_Handler,), {"gcs": gcs})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    gcs.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield gcs
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _crc32c(content: bytes) -> str:
    return base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()


class _Handler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True  # headers and body leave in two writes
    gcs: FakeGcs
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the library's names

    def _handle(self) -> None:
        self.gcs.before_request()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.gcs.mutex:
            self._handle_alone(body)

    def _handle_alone(self, body: bytes) -> None:
        url = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        if re.fullmatch("/storage/v1/b/[^/]+", url.path):
            self._answer(200, {})
            return
        if found := re.fullmatch("/storage/v1/b/([^/]+)/iam/testPermissions", url.path):
            granted = [] if self.gcs.refuse else parse_qs(url.query)["permissions"]
            known = found[1] in self.gcs.buckets
            self._answer(200 if known else 404, {"permissions": granted} if known else {})
            return
        found = re.fullmatch(r"(/download|/upload)?/storage/v1/b/([^/]+)/o(?:/(.+))?", url.path)
        assert found is not None, self.path
        way, bucket, name = found[1], found[2], unquote(found[3] or "")
        objects = self.gcs.buckets.get(bucket)
        if self.gcs.refuse:
            self._answer(403, {"error": {"message": "no permission storage.objects.list"}})
        elif objects is None:
            self._answer(404, {"error": {"message": "no such bucket"}})
        elif way == "/upload":
            self._upload(bucket, objects, query, body)
        elif not name:
            self._list(bucket, query.get("prefix", ""), query.get("delimiter"))
        elif name not in objects:
            self._answer(404, {"error": {"message": "no such object"}})
        elif self.command == "DELETE":
            if self._is_refused(bucket, name, query):
                return
            del objects[name]
            self.gcs.log.append(f"delete {name}")
            self._answer(204, None)
        elif way == "/download":
            content = objects[name][0]
            self.gcs.log.append(f"download {name}")
            headers = {
                "X-Goog-Hash": f"crc32c={_crc32c(content)}",
                "X-Goog-Generation": str(self.gcs.generation(bucket, name)),
            }
            self._answer(200, content, headers)
        else:
            self._answer(200, self._describe(bucket, name))

    def _list(self, bucket: str, prefix: str, delimiter: str | None) -> None:
        names = [name for name in sorted(self.gcs.buckets[bucket]) if name.startswith(prefix)]
        folders: list[str] = []
        if delimiter:
            below = [name for name in names if delimiter in name.removeprefix(prefix)]
            names = [name for name in names if name not in below]
            heads = [name.removeprefix(prefix).partition(delimiter)[0] for name in below]
            folders = [f"{prefix}{head}{delimiter}" for head in dict.fromkeys(heads)]
        items = [self._describe(bucket, name) for name in names]
        self._answer(200, {"items": items, "prefixes": folders})

    def _is_refused(self, bucket: str, name: str, query: dict[str, str]) -> bool:
        """Answers and returns True if the object's state forbids to replace or delete it."""
        current, wanted = self.gcs.generation(bucket, name), query.get("ifGenerationMatch")
        if wanted is not None and int(wanted) != current:
            self._answer(412, {"error": {"message": "conditionNotMet"}})
            return True
        if current and self.gcs.retains:
            message = (
                f"Object '{bucket}/{name}' is subject to bucket's retention policy or object "
                f"retention and cannot be deleted or overwritten until {KEPT_UNTIL}"
            )
            errors = [{"message": message, "domain": "global", "reason": "retentionPolicyNotMet"}]
            self._answer(403, {"error": {"code": 403, "message": message, "errors": errors}})
            return True
        return False

    def _upload(
        self, bucket: str, objects: dict[str, Any], query: dict[str, str], body: bytes
    ) -> None:
        if query.get("uploadType") == "multipart":
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
            described, content = message.iter_parts()
            about = json.loads(described.get_payload(decode=True))
            data = content.get_payload(decode=True)
            assert isinstance(data, bytes)
            if "crc32c" in about:
                assert about["crc32c"] == _crc32c(data)
            if not self._is_refused(bucket, about["name"], query):
                self._keep(objects, about["name"], data, about)
                self._answer(200, self._describe(bucket, about["name"]))
        elif self.command == "POST":
            token = secrets.token_hex(8)
            about = json.loads(body)
            if self._is_refused(bucket, about["name"], query):
                return
            about["query"] = query
            self.gcs.uploads[token] = (about["name"], {"about": about, "content": b"", "parts": 0})
            where = f"{self.gcs.url}{urlsplit(self.path).path}?upload_id={token}"
            self._answer(200, {}, {"Location": where})
        else:
            name, upload = self.gcs.uploads[query["upload_id"]]
            upload["content"] += body
            upload["parts"] += 1
            total = self.headers["Content-Range"].rpartition("/")[2]
            if total in ("*", "") or len(upload["content"]) < int(total):
                self._answer(308, None, {"Range": f"bytes=0-{len(upload['content']) - 1}"})
                return
            if not self._is_refused(bucket, name, upload["about"]["query"]):
                self._keep(objects, name, upload["content"], upload["about"])
                self._answer(200, self._describe(bucket, name))

    def _keep(self, objects: dict[str, Any], name: str, data: bytes, about: Any) -> None:
        objects[name] = (data, about.get("metadata", {}))
        self.gcs.log.append(f"put {name}")

    def _describe(self, bucket: str, name: str) -> dict[str, Any]:
        content, metadata = self.gcs.buckets[bucket][name]
        size, checksum = str(len(content)), _crc32c(content)
        return {
            "name": name,
            "bucket": bucket,
            "generation": str(self.gcs.generation(bucket, name)),
            **({"retentionExpirationTime": KEPT_UNTIL} if self.gcs.retains else {}),
            "size": size,
            "metadata": metadata,
            "crc32c": checksum,
        }

    def _answer(self, code: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
        data = content if isinstance(content, bytes) else content.encode()
        self.send_response(code)
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        for key, value in {"Content-Type": kind, **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
