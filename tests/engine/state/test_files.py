"""Atomic writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.state import files


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
