"""Reading gigabytes for a checksum is not silent, and a quick one says nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from model_export import checksums
from model_export.reading_report import ReadingReport
from model_export.sd14 import own_files


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its one number is the time."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(1000))
    return path


def test_a_file_is_reported_after_two_seconds_and_then_every_ten(
    clock: list[float], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = ReadingReport(file)
    for second in range(14):
        clock[0] = float(second)
        report(100 * second // 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "reading model.safetensors for its checksum: 10% of 0.0 GB, about 18 s left",
        "reading model.safetensors for its checksum: 60% of 0.0 GB, about 8 s left",
    ]


def test_the_checksum_of_an_own_file_is_reported_where_it_takes_long(
    clock: list[float],
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def slowly(_path: Path, on_bytes: checksums.OnBytes) -> str:
        clock[0] += 3
        on_bytes(500)
        return "ab" * 32

    monkeypatch.setenv("DIFFUSION_SERVING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checksums, "sha256_of", slowly)
    own_files._digest([file])
    said = capsys.readouterr().err
    assert said == "reading model.safetensors for its checksum: 50% of 0.0 GB, about 3 s left\n"
    own_files._digest([file])
    assert capsys.readouterr().err == ""
