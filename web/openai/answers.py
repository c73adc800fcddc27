"""The JSON of OpenAI's answers: pictures, and models."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Any

from prediction import png
from prediction.description import Served
from web.jobs.job import Drawn
from web.openai.image_request import ImageRequest
from web.pictures import formats

Document = dict[str, Any]

BACKGROUND = "opaque"
NO_USAGE: Document = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}
"""Tools read it as what the pictures cost."""


async def images(
    pictures: Sequence[Drawn], asked: ImageRequest, served: Served, notes: Sequence[str]
) -> Document:
    """The answer with all pictures of a request; at least one."""
    data = [await _image(drawn, asked, served) for drawn in pictures]
    return {
        "created": int(time.time()),
        "data": data,
        "background": BACKGROUND,
        "output_format": asked.file_format.value,
        "size": size_of(pictures[0]),
        "usage": NO_USAGE,
        "notes": list(notes),
    }


def size_of(drawn: Drawn) -> str:
    """The true size of a picture."""
    return as_size(png.size(drawn.answer.png))


def as_size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


async def base64_file(drawn: Drawn, asked: ImageRequest, served: Served) -> str:
    """The picture in the format that was asked for."""
    return encoded(
        await formats.file_in_background(drawn, served, asked.file_format, asked.quality)
    )


def encoded(file: bytes) -> str:
    return base64.b64encode(file).decode()


def model(name: str, created: int) -> Document:
    return {"id": name, "object": "model", "created": created, "owned_by": "diffusion-serving"}


async def _image(drawn: Drawn, asked: ImageRequest, served: Served) -> Document:
    """Only the keys that have a value: a tool may look whether one is there."""
    file = await base64_file(drawn, asked, served)
    image: Document = {}
    if asked.gives_base64:
        image["b64_json"] = file
    if asked.gives_url:
        image["url"] = f"data:{asked.file_format.media_type};base64,{file}"
    return {**image, "seed": drawn.answer.seed}
