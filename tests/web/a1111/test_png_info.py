"""Damaged files given to png-info."""

from __future__ import annotations

import base64
import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from prediction import png
from web.a1111.png_info import png_info
from web.faults import FaultError


def file_of(file_format: str) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "a".encode("utf-16-be")
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, file_format, exif=exif)
    return file.getvalue()


FILES = [
    png.with_text(file_of("PNG"), {"parameters": "a ☆\nSteps: 1, Seed: 2, Size: 8x8"}),
    file_of("JPEG"),
    file_of("WEBP"),
]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged EXIF
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    st.integers(0, 400),
)
def test_a_damaged_file_is_read_or_refused(
    file: bytes, changes: list[tuple[int, int]], size: int
) -> None:
    damaged = bytearray(file[: size or len(file)])
    for place, value in changes:
        if place < len(damaged):
            damaged[place] = value
    try:
        found = png_info(base64.b64encode(damaged).decode())
    except FaultError as error:
        assert error.fault.status == 422
    else:
        assert set(found) == {"info", "items", "parameters"}


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_no_pixel_is_read(file_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, file_format)

    def load(_: ImageFile.ImageFile) -> None:
        raise AssertionError("a small file may hold gigabytes of pixels")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert png_info(base64.b64encode(file.getvalue()).decode())["info"] == ""


def test_a_small_file_with_much_text_is_refused() -> None:
    body = b"zTXtparameters\0\0" + zlib.compress(b"x" * 900_000)
    part = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    content = FILES[0][:33] + part * 2 + part.replace(b"parameters", b"otherkeys_") + FILES[0][33:]
    with pytest.raises(FaultError, match="image: "):
        png_info(base64.b64encode(content).decode())
