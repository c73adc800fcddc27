"""What clients got, as pictures."""

from __future__ import annotations

import base64
import io

from PIL import Image

SIZE = (64, 64)
"""The stub's."""


def from_base64(text: str) -> Image.Image:
    """Of the stub's size, with pixels."""
    image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
    image.load()
    assert image.size == SIZE
    return image


def from_data_uri(address: str, file_format: str = "png") -> Image.Image:
    start = f"data:image/{file_format};base64,"
    assert address.startswith(start), address[:60]
    return from_base64(address.removeprefix(start))
