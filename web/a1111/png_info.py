"""What a picture file says of how it was made: `POST /sdapi/v1/png-info`."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import ExifTags, Image, UnidentifiedImageError

from web.faults import FaultError
from web.pictures import infotext
from web.pictures.formats import USER_COMMENT_UNICODE

Document = dict[str, Any]

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_TEXT_CHARACTERS = 1_000_000
"""In all chunks of a file; compressed ones may hold far more than the file's size."""
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


def png_info(image: str) -> Document:
    """image: a file in base64, or as a data: URI. Its pixels are not read. Raises FaultError."""
    chunks = _text_of(_decoded(image))
    info = chunks.pop(infotext.PNG_KEYWORD, "")
    found = infotext.read(info)
    parameters = {
        "Prompt": found.prompt,
        "Negative prompt": found.negative_prompt,
        **infotext.DEFAULTS,
        **found.parameters,
    }
    return {"info": info, "items": chunks, "parameters": parameters if info else {}}


def _decoded(image: str) -> bytes:
    if image.startswith(("http://", "https://")):
        raise FaultError(422, "image: addresses are not fetched: send the file in base64")
    _, comma, content = image.partition(",")
    try:
        return base64.b64decode(content if comma else image, validate=True)
    except ValueError:
        raise FaultError(422, "image: it is not base64") from None


def _text_of(file: bytes) -> dict[str, str]:
    try:
        with Image.open(io.BytesIO(file), formats=FORMATS) as image:
            texts = {str(key): value for key, value in image.info.items() if isinstance(value, str)}
            # The method of PNG's own class reads all pixels: some tools write EXIF after them.
            exif = Image.Image.getexif(image)
            comment = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    except UnidentifiedImageError:
        raise FaultError(422, f"image: it is not a file of {', '.join(FORMATS)}") from None
    except _DAMAGED:
        raise FaultError(422, "image: the file is damaged") from None
    if isinstance(comment, bytes) and comment.startswith(USER_COMMENT_UNICODE):
        text = comment.removeprefix(USER_COMMENT_UNICODE).decode("utf-16-be", errors="replace")
        texts.setdefault(infotext.PNG_KEYWORD, text)
    if sum(map(len, texts.values())) > MAX_TEXT_CHARACTERS:
        raise FaultError(422, "image: it holds too much text")
    return texts
