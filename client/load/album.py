"""Keeping a load test's pictures: each in a file, and all on a contact sheet."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from client.errors import PictureFileError
from client.pictures import picture as picture_files
from client.pictures.picture import Picture

if TYPE_CHECKING:
    from PIL import Image

MAX_TILES = 350
"""Fifty rows: an overview, not an archive."""


class Album:
    """Pictures kept in `folder`, which is created if missing.

    A full disk does not end the load test: `kept` and `lost` count the pictures, and `problem` is
    why the first one was lost.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = picture_files.prepare_folder(folder)
        self.kept = 0
        self.lost = 0
        self.problem = ""
        self._tiles: dict[int, tuple[Image.Image, str]] = {}

    def keep(self, number: int, picture: Picture) -> None:
        """Save a picture, and a thumbnail of the first ones for the sheet."""
        try:
            self._keep(number, picture)
        except PictureFileError as error:
            self.lost += 1
            self.problem = self.problem or str(error)

    def _keep(self, number: int, picture: Picture) -> None:
        from PIL import Image

        from model_export.contact_sheet import TILE_PX

        picture.save(self.folder)
        self.kept += 1
        if len(self._tiles) < MAX_TILES:
            try:
                with Image.open(io.BytesIO(picture.png), formats=["PNG"]) as image:
                    tile = image.convert("RGB")
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise PictureFileError(f"picture {number} cannot be read: {error}") from error
            if tile.width > TILE_PX:
                tile.thumbnail((TILE_PX, TILE_PX))
            self._tiles[number] = (tile, f"{picture.seed}: {picture.prompt}")

    def write_sheet(self) -> Path | None:
        """Write the contact sheet, in the order of the requests; None if there is no picture."""
        from model_export.contact_sheet import contact_sheet

        if not self._tiles:
            return None
        content = io.BytesIO()
        contact_sheet([self._tiles[number] for number in sorted(self._tiles)]).save(content, "PNG")
        try:
            return picture_files.write_once(self.folder, "contact-sheet", content.getvalue())
        except OSError as error:
            raise PictureFileError(f"cannot write to {self.folder}: {error.strerror}") from error
