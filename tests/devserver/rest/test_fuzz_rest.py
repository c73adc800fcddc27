"""Fuzzing REST: any document, body or bytes get a response or a clean error."""

from __future__ import annotations

import base64
import gzip
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.devserver.fuzzing import assert_json_answer, assert_no_leak, assert_unharmed, fuzz, tries
from tests.devserver.processes import NAME, Server

pytestmark = pytest.mark.slow

PREDICT = f"/v1/models/{NAME}:predict"

numbers = st.integers() | st.integers(-3, 3) | st.floats() | st.floats(width=32)
base64_objects = st.fixed_dictionaries(
    {"b64": st.binary(max_size=8).map(lambda raw: base64.b64encode(raw).decode()) | st.text()}
)
scalars = numbers | st.text(max_size=8) | st.booleans() | st.none() | base64_objects
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)
INPUTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "serving_default": {"x": numbers},
    "total": {"x": numbers},
    "half_floats": {"x": numbers},
    "text": {"text": st.text(max_size=8) | base64_objects, "times": st.integers(-2, 5)},
    "checked": {"pixels": st.lists(st.integers(-1, 256), min_size=1, max_size=3)},
    "scalars": {"integer": st.integers(), "flag": st.booleans(), "real": numbers},
}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A predict request of one of the signatures, with an error or two."""
    name = draw(st.sampled_from(sorted(INPUTS)))
    row = st.fixed_dictionaries(INPUTS[name])
    document: dict[str, Any] = {"signature_name": name}
    rows = draw(st.lists(row, min_size=1, max_size=3))
    if draw(st.booleans()):
        document["instances"] = rows
    else:
        document["inputs"] = {alias: [row[alias] for row in rows] for alias in INPUTS[name]}
    for _ in range(draw(st.integers(0, 2))):
        _spoil(draw, document)
    return document


def _spoil(draw: st.DrawFn, document: dict[str, Any]) -> None:
    """Replaces, adds or removes something, at any depth."""
    node: Any = document
    while True:
        inner = [v for v in (node.values() if isinstance(node, dict) else node) if v]
        inner = [v for v in inner if isinstance(v, dict | list)]
        if not inner or draw(st.booleans()):
            break
        node = draw(st.sampled_from(inner))
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = draw(st.sampled_from(keys)) if keys else 0
    match draw(st.sampled_from(["replace", "add", "remove"])):
        case "replace" if keys:
            node[key] = draw(values)
        case "remove" if keys:
            del node[key]
        case _ if isinstance(node, dict):
            node[draw(st.text(max_size=4) | st.sampled_from(["inputs", "instances", "x"]))] = draw(
                values
            )
        case _:
            node.append(draw(values))


@st.composite
def torn(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> bytes:
    """A text with some bytes cut out and others put in."""
    text = draw(texts)
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 6)))
    return text[:start] + draw(st.binary(max_size=6)) + text[end:]


texts = documents().map(lambda document: json.dumps(document).encode())


@tries(500, long=20_000)
def test_any_document_gets_a_prediction_or_a_clean_error(server: Server, count: int) -> None:
    statuses: set[int] = set()

    def check(document: dict[str, Any]) -> None:
        answer = server.predict(document)
        statuses.add(answer.status)
        assert answer.status in (200, 400), answer.body
        assert_json_answer(answer.status, answer.body)

    fuzz(documents(), count, check)
    assert statuses == {200, 400}
    assert_unharmed(server)


@tries(400, long=20_000)
def test_any_body_gets_a_prediction_or_a_clean_error(server: Server, count: int) -> None:
    def check(body: bytes) -> None:
        answer = server.predict(body)
        assert answer.status in (200, 400), answer.body
        assert_json_answer(answer.status, answer.body)

    fuzz(torn(texts) | st.binary(max_size=200), count, check)
    assert_unharmed(server)


@dataclass(frozen=True)
class RawAnswer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


def raw_answers(received: bytes, has_bodies: bool) -> Iterator[RawAnswer]:
    """The responses that a connection returned; fails at the first byte outside one."""
    while received:
        head, separator, received = received.partition(b"\r\n\r\n")
        assert separator, head
        line, *lines = head.split(b"\r\n")
        version, status, _ = line.split(b" ", 2)
        assert version == b"HTTP/1.1", line
        headers = dict(entry.lower().split(b": ", 1) for entry in lines)
        length = int(headers.get(b"content-length", b"0")) if has_bodies else 0
        body, received = received[:length], received[length:]
        assert len(body) == length, "the body is cut"
        yield RawAnswer(int(status), headers, body)


def exchange(server: Server, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            parts = iter(lambda: connection.recv(65536), b"")
            return b"".join(parts)
        except (ConnectionResetError, BrokenPipeError):
            return b""  # rejected before everything was sent


TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=20)
names = st.sampled_from([NAME, NAME.upper(), "other", "%", "%2F", "%00", "%ff", "..", "a b"]) | TEXT
suffixes = st.sampled_from(
    [
        *(":predict", ":PREDICT", ":classify", "/metadata", "/versions/123", "?a=b", "#", ":", ""),
        *("/versions/123:predict", "/versions/99999999999999999999:predict", "/labels/x:predict"),
    ]
)
paths = st.one_of(
    st.builds("/v1/models/{}{}".format, names, suffixes),
    st.builds("http://host/v1/models/{}{}".format, names, suffixes),
    TEXT.map("/{}".format),
    TEXT,
    st.just(PREDICT),
)
header_lines = st.lists(
    st.builds("{}: {}".format, TEXT | st.sampled_from(["Origin", "Expect", "Host"]), TEXT)
    | st.sampled_from(
        [
            *("Content-Length: 5", "Content-Length: x", "Transfer-Encoding: chunked"),
            *("Expect: 100-continue", "Content-Encoding: gzip", "Connection: close"),
            *("Origin: http://a", " folded", "nocolon"),
        ]
    ),
    max_size=3,
)
encodings = st.sampled_from(["identity", "gzip", "broken gzip"])
framings = st.sampled_from(["length", "too short", "too long", "chunked", "broken chunks", "none"])


@st.composite
def wire_requests(draw: st.DrawFn) -> bytes:
    """The bytes of one HTTP request: valid, wrongly framed, or random."""
    method = draw(
        st.sampled_from(
            ["POST"] * 4 + ["GET", "PUT", "OPTIONS", "TRACE", "PATCH", "post", "X" * 99]
        )
    )
    body = draw(texts | torn(texts))
    lines = draw(header_lines)
    if (encoding := draw(encodings)) != "identity":
        body = gzip.compress(body, mtime=0)[: None if encoding == "gzip" else -6]
        lines.append("Content-Encoding: gzip")
    match draw(framings):
        case "length":
            lines.append(f"Content-Length: {len(body)}")
        case "too short":
            lines.append(f"Content-Length: {draw(st.integers(0, len(body)))}")
        case "too long":
            lines.append(f"Content-Length: {len(body) + draw(st.integers(1, 10**12))}")
        case "chunked":
            lines.append("Transfer-Encoding: chunked")
            middle = draw(st.integers(0, len(body)))
            body = b"".join(
                b"%x\r\n%s\r\n" % (len(part), part)
                for part in (body[:middle] or b" ", body[middle:] or b" ", b"")
            )
        case "broken chunks":
            lines.append("Transfer-Encoding: chunked")
            body = draw(st.binary(max_size=30)) + b"\r\n" + body
        case _:
            pass
    version = draw(st.sampled_from(["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/9.9", "HTTP/x", ""]))
    head = "\r\n".join([f"{method} {draw(paths)} {version}", *lines])
    return head.encode("latin-1") + b"\r\n\r\n" + body


@tries(600, long=30_000)
def test_any_bytes_on_the_wire_get_complete_responses_or_none(server: Server, count: int) -> None:
    def check(sent: bytes) -> None:
        for answer in raw_answers(exchange(server, sent), has_bodies=True):
            assert answer.status not in (500, 502), answer
            if answer.headers.get(b"content-type") == b"application/json" and answer.body:
                assert_json_answer(answer.status, answer.body)
            assert_no_leak(answer.body.decode("utf-8", "replace"))

    fuzz(wire_requests() | torn(wire_requests()) | st.binary(max_size=100), count, check)
    assert_unharmed(server)


@pytest.mark.parametrize("level", ["[", '{"a":', '[{"x":'])
def test_deep_nesting_anywhere_is_rejected(server: Server, level: str) -> None:
    for key in ("instances", "inputs", "signature_name", "other"):
        answer = server.predict(f'{{"{key}": ' + level * 100_000)
        assert (answer.status, "Nested deeper" in answer.error) == (400, True)
    assert_unharmed(server)
