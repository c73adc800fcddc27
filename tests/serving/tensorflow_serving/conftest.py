"""The scripts of the pod, with the programs that the stock image has and no others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

PROGRAMS = ("bash", "cat", "openssl", "sleep", "timeout")
"""Those that the scripts use, of bash, coreutils and openssl, which ca-certificates needs."""


@pytest.fixture(scope="session")
def image_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    for name in PROGRAMS:
        if path := shutil.which(name):
            (folder / name).symlink_to(path)
    return folder


@pytest.fixture(autouse=True)
def only_image_programs(image_programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(image_programs))
