"""Text chunks and the header of PNG files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from prediction import png


def file_of(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


def test_the_size_is_read_from_the_header() -> None:
    assert png.size(file_of(12, 7)) == (12, 7)


@pytest.mark.parametrize("content", [b"", b"GIF89a" + bytes(30), png.SIGNATURE + bytes(30)])
def test_what_is_no_png_has_no_size(content: bytes) -> None:
    with pytest.raises(png.PngError):
        png.size(content)


def test_text_is_read_back_whatever_its_letters(tmp_path: Path) -> None:
    text = {"one": "größe\nzwei Zeilen", "two": "☆", "three": ""}
    path = tmp_path / "a.png"
    path.write_bytes(png.with_text(file_of(8, 8), text))
    assert png.read_text(path) == text


def test_latin_1_becomes_text_that_every_reader_knows() -> None:
    assert png.with_text(file_of(8, 8), {"a": "ü"})[37:41] == b"tEXt"
    assert png.with_text(file_of(8, 8), {"a": "☆"})[37:41] == b"iTXt"


def test_a_text_can_be_taken_out_again_and_nothing_else_changes() -> None:
    image = file_of(8, 8)
    for text in ("plain", "☆"):
        both = png.with_text(image, {"kept": "1", "gone": text, "gone too": "2"})
        assert png.without_text(both, "gone") == png.with_text(
            image, {"kept": "1", "gone too": "2"}
        )
    assert png.without_text(image, "gone") == image


def test_text_can_only_be_taken_out_of_a_png() -> None:
    with pytest.raises(png.PngError):
        png.without_text(b"GIF89a", "gone")
