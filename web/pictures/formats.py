"""The files that pictures leave the service as: PNG, JPEG, WebP, each with its text."""

from __future__ import annotations

import asyncio
import base64
import io
import re
from enum import StrEnum

from PIL import ExifTags, Image

from prediction import png
from prediction.description import Served
from web.jobs.job import Drawn
from web.pictures import infotext

DEFAULT_QUALITY = 95
"""Of JPEG and WebP, from 0 to 100. Above it files grow much and pictures hardly change."""

MAX_SIDE_DIGITS = 5
"""Of a size's width and height as text: more is no picture's."""

MAX_COMMENT_BYTES = 64_000
"""JPEG has room for 65,533 bytes of EXIF."""

USER_COMMENT_UNICODE = b"UNICODE\0"
"""How EXIF says that a comment is UTF-16 (Exif 2.32, §4.6.5, UserComment)."""


class Format(StrEnum):
    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"

    @property
    def media_type(self) -> str:
        return f"image/{self.value}"


def file_of(
    drawn: Drawn,
    served: Served,
    file_format: Format = Format.PNG,
    quality: int = DEFAULT_QUALITY,
) -> bytes:
    """The picture as a file that says how it was made.

    A PNG keeps the model server's own image data. JPEG and WebP have a place for the infotext
    alone: EXIF's UserComment, where AUTOMATIC1111 writes and reads it too. One that does not fit,
    of two very long prompts full of brackets, is left out.
    """
    if file_format is Format.PNG:
        return png.with_text(drawn.answer.png, infotext.chunks(drawn, served))
    with _opened(drawn.answer.png) as image:
        return _encoded(image, file_format, quality, infotext.write(drawn, served))


async def file_in_background(
    drawn: Drawn,
    served: Served,
    file_format: Format = Format.PNG,
    quality: int = DEFAULT_QUALITY,
) -> bytes:
    """As `file_of`, without blocking the event loop where a picture is encoded again."""
    if file_format is Format.PNG:
        return file_of(drawn, served)
    return await asyncio.to_thread(file_of, drawn, served, file_format, quality)


def enlarged(
    preview: bytes,
    size: tuple[int, int],
    file_format: Format = Format.PNG,
    quality: int = DEFAULT_QUALITY,
) -> bytes:
    """A preview, which has the latent's size, as a picture of `size` (width, height)."""
    with _opened(preview) as image:
        return _encoded(image.resize(size, Image.Resampling.BICUBIC), file_format, quality)


def data_uri(file: bytes, file_format: Format) -> str:
    """The file as an address that needs no server."""
    return f"data:{file_format.media_type};base64,{base64.b64encode(file).decode()}"


def parse_size(text: str) -> tuple[int, int] | None:
    """Width and height of a size such as `512x512`; None if it is not one."""
    side = f"([1-9][0-9]{{0,{MAX_SIDE_DIGITS - 1}}})"
    match = re.fullmatch(rf"{side}[xX×]{side}", text.strip())
    return None if match is None else (int(match[1]), int(match[2]))


def _opened(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file), formats=["PNG"])


def _encoded(
    image: Image.Image,
    file_format: Format,
    quality: int,
    comment: str = "",
) -> bytes:
    file = io.BytesIO()
    match file_format:
        case Format.PNG:
            image.save(file, "PNG")
        case Format.JPEG:
            # Without subsampling: at half the resolution of colour, sharp coloured edges blur.
            image.convert("RGB").save(
                file, "JPEG", quality=quality, subsampling=0, exif=_exif(comment)
            )
        case Format.WEBP:
            image.convert("RGB").save(file, "WEBP", quality=quality, exif=_exif(comment))
    return file.getvalue()


def _exif(comment: str) -> Image.Exif:
    exif = Image.Exif()
    exif.endian = ">"  # as the comment's UTF-16
    content = comment.encode("utf-16-be")
    if 0 < len(content) <= MAX_COMMENT_BYTES:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = USER_COMMENT_UNICODE + content
    return exif
