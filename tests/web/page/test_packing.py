"""The page's ZIP file, read by Python's zipfile."""

from __future__ import annotations

import base64
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from tests.web.page import node

PACKING = Path(__file__).with_name("packing.mjs")
CREATED = time.mktime((2026, 11, 29, 13, 14, 16, 0, 0, -1))


def packed(path: Path, files: dict[str, bytes], date: float = CREATED) -> zipfile.ZipFile:
    node.run(
        PACKING,
        given={
            "path": str(path),
            "files": [
                {"name": name, "content": base64.b64encode(content).decode(), "date": date * 1000}
                for name, content in files.items()
            ],
        },
    )
    return zipfile.ZipFile(path)


def test_every_file_comes_out_with_its_name_content_and_time(tmp_path: Path) -> None:
    files = {
        "2026-11-29 a small red circle 1234.png": bytes(range(256)) * 3000,
        "2026-11-29 größe 星 👍🏽 7.png": b"x",
        "empty.png": b"",
    }
    with packed(tmp_path / "all.zip", files) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == files
        for info in archive.infolist():
            assert info.date_time == (2026, 11, 29, 13, 14, 16)
            assert info.compress_type == zipfile.ZIP_STORED


def test_no_files_make_an_empty_archive(tmp_path: Path) -> None:
    with packed(tmp_path / "all.zip", {}) as archive:
        assert archive.namelist() == []


@pytest.mark.parametrize(("date", "year"), [(0.0, 1980), (5e9, 2107), (8.6e12, 2107)])
def test_a_date_that_a_zip_file_cannot_hold_is_the_nearest_year(
    tmp_path: Path, date: float, year: int
) -> None:
    with packed(tmp_path / "all.zip", {"a.png": b"a"}, date) as archive:
        assert archive.infolist()[0].date_time[0] == year


@pytest.mark.skipif(shutil.which("unzip") is None, reason="there is no unzip here")
def test_unzip_finds_no_fault(tmp_path: Path) -> None:
    packed(tmp_path / "all.zip", {"a ü.png": b"abc", "b.png": b"d" * 70_000}).close()
    tested = subprocess.run(
        ["unzip", "-t", tmp_path / "all.zip"], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout
