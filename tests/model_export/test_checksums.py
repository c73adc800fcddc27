"""Checksums are computed once for a file, and again if it may have changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from model_export.checksums import Checksums


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(b"first")
    return path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def change_behind_its_back(path: Path, content: bytes) -> None:
    """Writes other content of the same size, with the same modification time."""
    stat = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_arguments: object) -> str:
        raise AssertionError("read again")

    monkeypatch.setattr("model_export.checksums.sha256_of", read)


def test_an_unchanged_file_is_not_read_again(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "memory" / "checksums.json"
    assert Checksums(memory).sha256(file) == digest(b"first")
    forbid_reading(monkeypatch)
    heard: list[int] = []
    assert Checksums(memory).sha256(file, heard.append) == digest(b"first")
    assert heard == [5]


def test_a_file_replaced_by_one_of_its_size_and_time_is_read_again(
    file: Path, tmp_path: Path
) -> None:
    checksums = Checksums(tmp_path / "checksums.json")
    checksums.sha256(file)
    change_behind_its_back(file, b"other")
    assert checksums.sha256(file) == digest(b"other")


@pytest.mark.parametrize("content", [b"longer than before", b"other"])
def test_a_changed_size_or_time_is_read_again(content: bytes, file: Path, tmp_path: Path) -> None:
    checksums = Checksums(tmp_path / "checksums.json")
    checksums.sha256(file)
    before = file.stat().st_mtime_ns
    file.write_bytes(content)
    os.utime(file, ns=(before, before + (len(content) == 5)))
    assert checksums.sha256(file) == digest(content)


def test_files_of_the_same_name_are_distinguished_by_folder(tmp_path: Path) -> None:
    checksums = Checksums(tmp_path / "checksums.json")
    paths = [tmp_path / name / "weights" for name in ("one", "other")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(path.parent.name.ljust(5).encode())
        os.utime(path, ns=(1, 1))
    assert [checksums.sha256(path) for path in paths] == [digest(b"one  "), digest(b"other")]
    assert checksums.sha256(paths[0]) == digest(b"one  ")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"PATH": [5, 1]}', b'{"PATH": "no"}'])
def test_a_damaged_cache_is_replaced(
    damage: bytes, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "checksums.json"
    memory.write_bytes(damage.replace(b"PATH", str(file.resolve()).encode()))
    assert Checksums(memory).sha256(file) == digest(b"first")
    forbid_reading(monkeypatch)
    assert Checksums(memory).sha256(file) == digest(b"first")


def test_a_cache_that_cannot_be_written_costs_only_time(file: Path, tmp_path: Path) -> None:
    (tmp_path / "not-a-folder").write_bytes(b"")
    checksums = Checksums(tmp_path / "not-a-folder" / "checksums.json")
    assert checksums.sha256(file) == digest(b"first")
