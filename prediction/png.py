"""Text chunks of PNG files: added without touching the image data, and read back.

The format is that of the PNG specification, third edition: §5.3 chunks, §11.3.3 text.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
IHDR_BYTES = 13
CHUNK_OVERHEAD_BYTES = 12
TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")


class PngError(ValueError):
    """Bytes that are not a complete PNG."""


def check(png: bytes) -> None:
    """Raise PngError unless `png` is complete: signature, checksums, first and last chunk."""
    chunks = list(_chunks(png))
    kinds = [kind for kind, _ in chunks]
    if kinds[:1] != [b"IHDR"] or kinds[-1] != b"IEND" or b"IDAT" not in kinds:
        raise PngError("the PNG is not complete")
    if len(chunks[0][1]) != IHDR_BYTES:
        raise PngError("the PNG's header is damaged")


def size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, as the header says."""
    if not png.startswith(SIGNATURE) or png[12:16] != b"IHDR" or len(png) < 24:
        raise PngError("the PNG's header is missing")
    width, height = struct.unpack_from(">II", png, 16)
    return width, height


def with_text(png: bytes, text: Mapping[str, str]) -> bytes:
    """`png` with one text chunk for each item of `text`; its own bytes stay unchanged.

    The chunks go directly after the header, where readers find them without decoding the image.
    Text in Latin-1 becomes tEXt, which every reader knows; other text becomes iTXt.
    """
    check(png)
    header_end = len(SIGNATURE) + IHDR_BYTES + CHUNK_OVERHEAD_BYTES
    chunks = b"".join(_text_chunk(keyword, value) for keyword, value in text.items())
    return png[:header_end] + chunks + png[header_end:]


def without_text(png: bytes, keyword: str) -> bytes:
    """`png` without its text of this keyword; all else stays as it is."""
    start = keyword.encode("latin-1") + b"\0"
    kept = [SIGNATURE]
    for kind, data in _chunks(png):
        if kind not in TEXT_CHUNKS or not data.startswith(start):
            kept.append(_chunk(kind + data))
    return b"".join(kept)


def read_text(path: Path) -> dict[str, str]:
    """The text chunks of the file at `path`. Raises PngError, or OSError if it cannot be read."""
    # Pillow limits the decompressed size. It takes 0.1 s to import, so only readers pay for it.
    from PIL import Image, PngImagePlugin

    try:
        with Image.open(path, formats=["PNG"]) as image:
            assert isinstance(image, PngImagePlugin.PngImageFile)
            image.load()
            return {keyword: str(value) for keyword, value in image.text.items()}
    except (ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise PngError(str(error)) from error
    except OSError as error:
        if error.errno is not None:
            raise
        # Pillow's own complaints about the format are OSErrors without a number.
        raise PngError(str(error)) from error


def same_pixels(one: bytes, other: bytes) -> bool:
    """Whether two PNGs show the same picture, whatever their text and compression."""
    return _pixels(one) == _pixels(other)


def _pixels(png: bytes) -> tuple[str, tuple[int, int], bytes]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            return image.mode, image.size, image.tobytes()
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise PngError(str(error)) from error


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not png.startswith(SIGNATURE):
        raise PngError("the PNG signature is missing")
    position = len(SIGNATURE)
    while position < len(png):
        if position + CHUNK_OVERHEAD_BYTES > len(png):
            raise PngError("the PNG is not complete")
        size, kind = struct.unpack_from(">I4s", png, position)
        data_end = position + 8 + size
        if data_end + 4 > len(png):
            raise PngError("the PNG is not complete")
        (checksum,) = struct.unpack_from(">I", png, data_end)
        if checksum != zlib.crc32(png[position + 4 : data_end]):
            raise PngError("the PNG is damaged")
        yield kind, png[position + 8 : data_end]
        position = data_end + 4


def _text_chunk(keyword: str, value: str) -> bytes:
    name = keyword.encode("latin-1")
    try:
        body = b"tEXt" + name + b"\0" + value.encode("latin-1")
    except UnicodeEncodeError:
        # Zero bytes: end of keyword, not compressed, method 0, no language, no translated keyword.
        body = b"iTXt" + name + b"\0\0\0\0\0" + value.encode()
    return _chunk(body)


def _chunk(body: bytes) -> bytes:
    """body: its kind and data."""
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
