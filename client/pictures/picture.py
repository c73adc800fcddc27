"""A picture and the values that made it: saved together in one PNG file, and read back from it."""

from __future__ import annotations

import os
import re
import secrets
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from client.errors import PictureFileError
from prediction import png, recipe
from prediction.answer import Answer
from prediction.errors import UnexpectedAnswerError
from prediction.limits import PictureRequest

MAX_SLUG_CHARACTERS = 48


@dataclass(frozen=True)
class Picture:
    """A finished picture. `png` is what the server sent; the rest describes how it was made.

    `num_steps` and `seed` are the values that the server used, and `fingerprint` identifies the
    model that drew this picture, even if the stack has changed since. `seconds` is the duration of
    the request, and `endpoint` the server that handled it.
    """

    png: bytes
    prompt: str
    negative_prompt: str
    seed: int
    num_steps: int
    guidance_scale: float
    prompt_tokens: int
    truncated: bool
    fingerprint: str
    seconds: float
    endpoint: str = ""
    negative_prompt_tokens: int = 0
    negative_prompt_truncated: bool = False

    @classmethod
    def of(cls, answer: Answer, request: PictureRequest, seconds: float) -> Picture:
        """What came for `request`, which took `seconds`."""
        return cls(
            png=answer.png,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            seed=answer.seed,
            num_steps=answer.num_steps,
            guidance_scale=request.guidance_scale,
            prompt_tokens=answer.prompt_tokens,
            truncated=answer.truncated,
            fingerprint=answer.fingerprint,
            seconds=seconds,
            endpoint=answer.endpoint,
            negative_prompt_tokens=answer.negative_prompt_tokens,
            negative_prompt_truncated=answer.negative_prompt_truncated,
        )

    def text(self) -> dict[str, str]:
        """The values that the file records, enough to reproduce the picture."""
        request = PictureRequest(
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            num_steps=self.num_steps,
            guidance_scale=self.guidance_scale,
            seed=self.seed,
        )
        return recipe.Recipe(request, self.fingerprint).as_chunks()

    def png_with_text(self) -> bytes:
        """The PNG with `text()` in its text chunks; the pixels are the server's own bytes.

        The web service's own record of the same values makes way, its infotext for others stays.
        """
        return png.with_text(png.without_text(self.png, recipe.KEYWORD), self.text())

    def save(self, folder: Path | str = "out") -> Path:
        """Write the PNG with its text chunks into `folder` and return its path.

        The name comes from prompt and seed. Files are never overwritten, and appear only when
        complete: a second picture of the same name gets the suffix `-2`.
        """
        folder = prepare_folder(folder)
        try:
            return write_once(folder, self._stem, self.png_with_text())
        except OSError as error:
            raise _unwritable(folder, error) from error

    def save_unless_there(self, folder: Path | str = "out") -> Path:
        """As `save`, but returns the path of an existing file that holds exactly this picture."""
        content = self.png_with_text()
        for name in _names(self._stem):
            path = Path(folder) / name
            try:
                if path.read_bytes() == content:
                    return path
            except OSError:  # missing or unreadable: `save` finds a free name
                break
        return self.save(folder)

    @property
    def _stem(self) -> str:
        return f"{slug(self.prompt)}-{self.seed}"


@dataclass(frozen=True)
class SavedPicture:
    """A picture file's PNG and the values recorded in it."""

    png: bytes
    request: PictureRequest
    fingerprint: str

    def shows_the_same_as(self, picture: Picture) -> bool:
        """Whether every pixel of the two is equal."""
        try:
            return png.same_pixels(self.png, picture.png)
        except png.PngError as error:
            raise UnexpectedAnswerError(f"the server's picture cannot be read: {error}") from error


def prepare_folder(folder: Path | str) -> Path:
    """`folder`, created if missing, and checked to be writable before a picture is requested."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise PictureFileError(f"cannot write to {path}: permission denied; choose another folder")
    return path


def read_text(path: Path | str) -> dict[str, str]:
    """All text chunks of the PNG at `path`, whichever program wrote it."""
    try:
        return png.read_text(Path(path))
    except png.PngError:
        raise PictureFileError(f"{path} is not a complete PNG file: choose another") from None
    except OSError as error:
        raise PictureFileError(f"cannot read {path}: {error.strerror}") from error


def read(path: Path | str) -> SavedPicture:
    """The picture at `path` with the values that made it: this client's file, or the service's."""
    try:
        made_by = recipe.read(read_text(path))
    except recipe.NoRecipeError as error:
        raise PictureFileError(f"{path} was not saved by this client: {error}") from None
    except recipe.RecipeError as error:
        raise PictureFileError(f"{path} has a damaged text chunk: {error}") from None
    return SavedPicture(Path(path).read_bytes(), made_by.request, made_by.fingerprint)


def slug(prompt: str) -> str:
    """The words of `prompt` as a portable file name: `a-small-red-circle`.

    Where file names here cannot have all of its letters, those in ASCII alone.
    """
    text = unicodedata.normalize("NFKC", prompt).casefold()
    words = re.findall(r"\w+", text)
    try:
        os.fsencode("-".join(words))
    except UnicodeEncodeError:
        words = re.findall(r"\w+", text, re.ASCII)
    return "-".join(words)[:MAX_SLUG_CHARACTERS].strip("-") or "picture"


def write_once(folder: Path, stem: str, content: bytes) -> Path:
    """Write a PNG into `folder` under a free name, atomically. Raises OSError."""
    part = folder / f".{stem}.{secrets.token_hex(4)}.part"
    try:
        part.write_bytes(content)
        for name in _names(stem):
            path = folder / name
            try:
                # A hard link fails if the name is taken, and only ever exposes the complete file.
                path.hardlink_to(part)
            except FileExistsError:
                continue
            except OSError:
                if not _reserve(path):  # no hard links on this file system
                    continue
                part.replace(path)
            return path
        raise AssertionError("names do not end")
    finally:
        part.unlink(missing_ok=True)


def _reserve(path: Path) -> bool:
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _names(stem: str) -> Iterator[str]:
    yield f"{stem}.png"
    number = 2
    while True:
        yield f"{stem}-{number}.png"
        number += 1


def _unwritable(folder: Path, error: OSError) -> PictureFileError:
    return PictureFileError(f"cannot write to {folder}: {error.strerror}; choose another folder")
