"""Picture files: their recorded values, their names, and that none is lost or truncated."""

from __future__ import annotations

import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from client import Picture, PictureFileError
from client.pictures import picture as picture_files
from prediction import png as png_chunks
from tests.client.fake_serving import picture_png

PNG = picture_png({"seed": 1})


def picture(**values: Any) -> Picture:
    fields: dict[str, Any] = {
        "png": PNG,
        "prompt": "a red circle",
        "negative_prompt": "",
        "seed": 5,
        "num_steps": 20,
        "guidance_scale": 4.0,
        "prompt_tokens": 5,
        "truncated": False,
        "fingerprint": "0123456789abcdef",
        "seconds": 1.0,
    }
    return Picture(**(fields | values))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200)


@given(prompt=TEXT, negative_prompt=TEXT, guidance_scale=st.floats(1, 30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_any_request_is_read_back_from_its_file(
    tmp_path: Path, prompt: str, negative_prompt: str, guidance_scale: float
) -> None:
    made = picture(prompt=prompt, negative_prompt=negative_prompt, guidance_scale=guidance_scale)
    path = made.save(tmp_path)
    saved = picture_files.read(path)
    assert saved.request.prompt == prompt
    assert saved.request.negative_prompt == negative_prompt
    assert saved.request.guidance_scale == guidance_scale
    assert (saved.request.seed, saved.request.num_steps) == (5, 20)
    assert saved.fingerprint == "0123456789abcdef"
    assert saved.shows_the_same_as(made)
    path.unlink()


def test_the_text_is_added_and_every_byte_of_the_server_kept() -> None:
    with_text = picture().png_with_text()
    added = len(with_text) - len(PNG)
    assert with_text[:33] == PNG[:33]
    assert with_text[33 + added :] == PNG[33:]


def test_pillow_reads_the_text() -> None:
    with Image.open(BytesIO(picture(prompt="ein großer Kreis ☆").png_with_text())) as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        assert image.info["prompt"] == "ein großer Kreis ☆"
        assert image.info["seed"] == "5"


@pytest.mark.parametrize(
    ("prompt", "slug"),
    [
        ("A small RED circle, on white!", "a-small-red-circle-on-white"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "picture"),
        ("", "picture"),
        ("☆☆☆", "picture"),
        ("C:\\a|b?*<>", "c-a-b"),
        ("ein großer Kreis", "ein-grosser-kreis"),
        ("赤い丸", "赤い丸"),
        ("line\none\x1b[2J", "line-one-2j"),
        ("x" * 500, "x" * 48),
        ("abc " * 12 + "d", "abc-abc-abc-abc-abc-abc-abc-abc-abc-abc-abc-abc"),
    ],
)
def test_a_file_is_named_by_the_words_of_its_prompt(prompt: str, slug: str) -> None:
    assert picture_files.slug(prompt) == slug


@given(prompt=TEXT)
def test_any_prompt_makes_a_valid_file_name(prompt: str) -> None:
    name = picture_files.slug(prompt)
    assert 0 < len(name.encode()) <= 200
    assert not set(name) & set('/\\:*?"<>|. \n\0')


@pytest.mark.parametrize("hard_links", [True, False])
def test_pictures_saved_at_once_all_get_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    if not hard_links:

        def refuse(self: Path, target: Path) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    made = [picture(fingerprint=str(number)) for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda one: one.save(tmp_path), made))
    assert len(set(paths)) == 20
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert {picture_files.read(path).fingerprint for path in paths} == set(map(str, range(20)))
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o666 & ~_umask()}


def test_a_full_disk_is_a_one_line_error_and_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", run_out)
    with pytest.raises(PictureFileError, match="No space left on device"):
        picture().save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture",
        PNG[:7],
        PNG[:40],
        PNG[: len(PNG) // 2],
        b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""),
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
    ],
)
def test_a_file_that_is_not_a_png_is_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(content)
    with pytest.raises(PictureFileError, match=r"not a complete PNG"):
        picture_files.read(path)


def test_a_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureFileError, match="No such file"):
        picture_files.read(tmp_path / "none.png")
    with pytest.raises(PictureFileError, match="Is a directory"):
        picture_files.read(tmp_path)


def test_another_programs_picture_is_rejected_as_not_saved_by_this_client(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    with pytest.raises(PictureFileError, match="no text chunk 'prompt'"):
        picture_files.read(tmp_path / "a.png")


@pytest.mark.parametrize(("key", "value"), [("seed", "x"), ("steps", "1.5"), ("seed", "")])
def test_a_damaged_text_chunk_is_refused(tmp_path: Path, key: str, value: str) -> None:
    (tmp_path / "a.png").write_bytes(png_chunks.with_text(PNG, picture().text() | {key: value}))
    with pytest.raises(PictureFileError, match="damaged text chunk"):
        picture_files.read(tmp_path / "a.png")


def test_a_decompression_bomb_in_a_text_chunk_is_rejected(tmp_path: Path) -> None:
    bomb = chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b"x" * 100_000_000))
    (tmp_path / "a.png").write_bytes(PNG[:33] + bomb + PNG[33:])
    with pytest.raises(PictureFileError):
        picture_files.read(tmp_path / "a.png")


@pytest.mark.parametrize(
    "damaged",
    [b"", PNG[:-1], PNG + b"x", PNG[:50] + b"\0" + PNG[51:], PNG[:33] + PNG[-12:], PNG[:8]],
)
def test_only_a_complete_png_is_accepted_from_a_server(damaged: bytes) -> None:
    with pytest.raises(png_chunks.PngError):
        png_chunks.check(damaged)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
