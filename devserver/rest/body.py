"""The body of a request: its framing, its compression, and what it will take in memory."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus

from devserver.memory import MemoryShare
from devserver.rest.connection import TimedReader

MAX_BODY_BYTES = 100_000_000
"""TF Serving's limit for a decompressed body, here for every body."""

_READ_BYTES = 1 << 20
_GZIP_WINDOW_BITS = 31
_MAX_TRAILERS = 100
_MAX_CHUNK_LINE = 1024

_VALUE_MARKS = b",:[{"
_VALUE_BYTES = 150
"""The most that one of these marks takes: what follows it as a Python object, its place in a list
or half of a place in a dictionary, and its copies on the way to an array."""
_COPIES = 3
"""A text as such, within the parsed document, and being converted."""
_NON_ASCII_WIDTH = 4
"""Bytes of each of a string's characters, if only one of them needs as many."""


class BodyError(Exception):
    """A body that cannot be read; the connection is closed after the response."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class DisconnectedError(Exception):
    """The client is gone before the end of the body."""


def read(
    headers: Message,
    stream: io.BufferedReader[TimedReader],
    share: MemoryShare,
    begin: Callable[[], None],
) -> bytes:
    """The decompressed body. `share` then covers what parsing it will take.

    Args:
        begin: called once the headers allow a body, before it is read.

    Raises:
        BodyError: the body is malformed or too large.
        DisconnectedError: the client is gone.
        ServingError: there is not enough memory.
    """
    encodings = headers.get_all("Transfer-Encoding") or []
    lengths = headers.get_all("Content-Length") or []
    if encodings:
        if lengths or [encoding.strip().lower() for encoding in encodings] != ["chunked"]:
            raise BodyError(HTTPStatus.BAD_REQUEST, "Bad Transfer-Encoding")
        begin()
        body = _read_chunks(stream, share)
    elif lengths:
        text = lengths[0].strip()
        if len(set(lengths)) > 1 or not (text.isascii() and text.isdigit()):
            raise BodyError(HTTPStatus.BAD_REQUEST, "Bad Content-Length")
        size = _checked(int(text[:20]))
        begin()
        received = bytearray()
        _read_exactly(stream, size, received, share)
        body = bytes(received)
    else:
        return b""
    if body and "gzip" in headers.get("Content-Encoding", "").lower():
        return _inflate(body, share)
    weight = _Weight()
    weight.add(body)
    share.hold(weight.bytes)
    return body


def _checked(size: int) -> int:
    if size > MAX_BODY_BYTES:
        raise BodyError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The body is larger than this server's limit of {MAX_BODY_BYTES} bytes",
        )
    return size


def _read_exactly(
    stream: io.BufferedReader[TimedReader], size: int, received: bytearray, share: MemoryShare
) -> None:
    """Holds memory for what has come, not for what is announced and may never come."""
    end = len(received) + size
    while len(received) < end:
        part = stream.read1(min(end - len(received), _READ_BYTES))
        if not part:
            raise DisconnectedError
        received += part
        share.hold(2 * len(received))


def _read_chunks(stream: io.BufferedReader[TimedReader], share: MemoryShare) -> bytes:
    received = bytearray()
    while True:
        line = stream.readline(_MAX_CHUNK_LINE)
        digits = line.partition(b";")[0].strip()
        if not line.endswith(b"\n") and len(line) < _MAX_CHUNK_LINE:
            raise DisconnectedError
        try:
            size = int(digits, 16) if digits.isalnum() and line.endswith(b"\n") else -1
        except ValueError:
            size = -1
        if size < 0:
            raise BodyError(HTTPStatus.BAD_REQUEST, "Bad chunk size")
        _checked(len(received) + size)
        if size == 0:
            break
        _read_exactly(stream, size, received, share)
        if stream.readline(3) not in (b"\r\n", b"\n"):
            raise BodyError(HTTPStatus.BAD_REQUEST, "Bad chunk")
    for _ in range(_MAX_TRAILERS):
        if stream.readline(65537) in (b"\r\n", b"\n", b""):
            return bytes(received)
    raise BodyError(HTTPStatus.BAD_REQUEST, "Too many trailers")


class _Weight:
    """An upper estimate of what a body takes until its response is there."""

    def __init__(self) -> None:
        self._length = 0
        self._values = 0
        self._is_ascii = True

    def add(self, text: bytes) -> None:
        self._length += len(text)
        # Faster than counting each of them, whatever their number.
        self._values += len(text) - len(text.translate(None, _VALUE_MARKS))
        self._is_ascii = self._is_ascii and text.isascii()

    @property
    def bytes(self) -> int:
        width = 1 if self._is_ascii else _NON_ASCII_WIDTH
        return self._length * (1 + _COPIES * width) + self._values * _VALUE_BYTES


def _inflate(body: bytes, share: MemoryShare) -> bytes:
    """As in TF Serving, a body that cannot be decompressed within the limit counts as empty.

    It is decompressed twice: first piece by piece, to learn how much memory it will take.
    """
    inflater = zlib.decompressobj(_GZIP_WINDOW_BITS)
    weight = _Weight()
    length = 0
    rest = body
    try:
        while not inflater.eof:
            piece = inflater.decompress(rest, _READ_BYTES)
            rest = inflater.unconsumed_tail
            length += len(piece)
            if length > MAX_BODY_BYTES or not (piece or rest or inflater.eof):
                return b""
            weight.add(piece)
            share.check(2 * len(body) + weight.bytes)
        share.hold(2 * len(body) + weight.bytes)
        return zlib.decompress(body, _GZIP_WINDOW_BITS, length or 1)
    except zlib.error:
        return b""
