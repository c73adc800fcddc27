"""Just enough HTTP/2 to send a gRPC call whose bytes a library would not send."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 1, 4


@dataclass(frozen=True)
class Frame:
    """One frame of a connection."""

    kind: int
    flags: int
    stream: int
    payload: bytes = b""

    def __bytes__(self) -> bytes:
        head = len(self.payload).to_bytes(3) + bytes([self.kind, self.flags])
        return head + self.stream.to_bytes(4) + self.payload


def request_headers(path: str, **more: str) -> bytes:
    """The header block of a gRPC call, every field a literal that is not indexed."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())


def call(path: str, message: bytes, claimed_length: int | None = None, flag: int = 0) -> bytes:
    """A connection's bytes for one unary call; its prefix may lie about length and compression."""
    length = len(message) if claimed_length is None else claimed_length
    body = bytes([flag]) + length.to_bytes(4) + message
    frames = [
        Frame(SETTINGS, 0, 0),
        Frame(HEADERS, END_HEADERS, 1, request_headers(path)),
        Frame(DATA, END_STREAM, 1, body),
    ]
    return PREFACE + b"".join(map(bytes, frames))


def frames(connection: socket.socket) -> Iterator[Frame]:
    """The bytes received until the connection closes."""
    with connection.makefile("rb") as stream:
        while len(head := stream.read(9)) == 9:
            payload = stream.read(int.from_bytes(head[:3]))
            yield Frame(head[3], head[4], int.from_bytes(head[5:]), payload)


def is_last(frame: Frame) -> bool:
    """Whether nothing more comes of the call that `call` makes."""
    ends = frame.kind in (DATA, HEADERS) and frame.flags & END_STREAM and frame.stream == 1
    return bool(ends) or frame.kind in (RST_STREAM, GOAWAY)


def _text(text: str) -> bytes:
    raw = text.encode()
    assert len(raw) < 127
    return bytes([len(raw)]) + raw
