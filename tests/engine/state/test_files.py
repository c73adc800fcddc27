"""Atomic writes."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Generator
from pathlib import Path

import pytest

from engine.state import files
from tests.engine.pulumi_project import PulumiProject


def test_a_durable_write_syncs_the_text_and_every_folder_that_got_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(Path(f"/dev/fd/{descriptor}").resolve())
    )
    file = tmp_path / "a" / "b" / "state.json"
    files.write_atomically(file, "{}")
    assert synced[0].name.startswith("state.json.")
    assert set(synced[1:]) == {tmp_path / "a" / "b", tmp_path / "a", tmp_path}
    synced.clear()
    files.write_atomically(file, "{}")
    assert synced[1:] == [tmp_path / "a" / "b"]
    synced.clear()
    files.write_atomically(file, "{}", durable=False)
    assert synced == []


@contextlib.contextmanager
def full_disk() -> Generator[None]:
    """Every write to a file fails, with an error of the system that names no file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_write_that_fails_names_its_file(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(OSError) as caught:
        files.write_atomically(tmp_path / "state.json", "{}")
    assert caught.value.filename == str(tmp_path / "state.json")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_written_is_named_in_one_line(project: PulumiProject) -> None:
    with full_disk():
        ran = project.run("refresh", "--yes")
    assert ran.code == 1
    assert ran.err.startswith(f"error: {project.locks}/")
    assert len(ran.err.splitlines()) == 1 and "Errno" not in ran.err
    assert list(project.locks.iterdir()) == []
