"""The pictures in a worker's answer: PNG files in base64, of the model's size."""

from __future__ import annotations

import base64

from prediction import png
from web.front.connection import broken


def picture_in(text: str, side: int) -> bytes:
    """A PNG of `side` × `side` pixels. Raises RefusedError."""
    content = _png(text)
    if png.size(content) != (side, side):
        raise broken("a picture is of another size")
    return content


def preview_in(text: str, side: int) -> bytes:
    """A PNG that is no larger. Raises RefusedError."""
    content = _png(text)
    if max(png.size(content)) > side:
        raise broken("a preview is larger than the picture")
    return content


def _png(text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
        png.check(content)
        return content
    except ValueError:  # PngError too
        raise broken("a picture is no PNG in base64") from None
