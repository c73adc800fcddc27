"""A contact sheet: pictures side by side, with a caption under each. Needs only Pillow."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

COLUMNS = 7
TILE_PX = 128
_MARGIN_PX, _TEXT_PX, _LINE_PX = 6, 50, 10
_LINE_CHARACTERS, _LINES = 23, 4
_PAPER, _INK = (250, 248, 240), (30, 30, 30)


def contact_sheet(tiles: Sequence[tuple[Image.Image, str]]) -> Image.Image:
    """The pictures in rows, each TILE_PX by TILE_PX, above the beginning of its caption."""
    from PIL import Image, ImageDraw

    width, height = TILE_PX + 2 * _MARGIN_PX, TILE_PX + _TEXT_PX
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width, rows * height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, (picture, text) in enumerate(tiles):
        x, y = i % COLUMNS * width + _MARGIN_PX, i // COLUMNS * height + _MARGIN_PX
        grows = picture.width < TILE_PX
        how = Image.Resampling.NEAREST if grows else Image.Resampling.LANCZOS
        sheet.paste(picture.resize((TILE_PX, TILE_PX), how), (x, y))
        lines = textwrap.wrap(text or "(empty prompt)", _LINE_CHARACTERS)
        for line, words in enumerate(lines[:_LINES]):
            draw.text((x, y + TILE_PX + 1 + _LINE_PX * line), words, fill=_INK)
    return sheet
