"""How the packages come from an index, and what is said when they do not."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from container_image import wheels
from container_image.errors import ImageError, StoppedError
from tests.container_image.checkouts import PYTHON, cache_of

SLEEPING = "import time; time.sleep(60)"


def found(root: Path, python: str = PYTHON) -> list[str]:
    lock = root / "web" / "requirements.lock"
    lines: list[object] = []
    paths = wheels.wheels(lock, python, cache_of(root), threading.Event(), lines.append)
    return [path.name for path in paths]


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))


@pytest.fixture
def slow_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{SLEEPING}'\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


def test_kept_wheels_need_no_index(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "download", None)
    assert found(root) == ["package-1.0-py3-none-any.whl"]


def test_a_damaged_wheel_is_fetched_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (wheel,) = (cache_of(root) / f"wheels-{PYTHON}").iterdir()
    links = tmp_path / "links"
    links.mkdir()
    (links / wheel.name).write_bytes(wheel.read_bytes())
    wheel.write_bytes(b"cut off")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    assert found(root) == [wheel.name]
    assert wheel.read_bytes() != b"cut off"


def test_another_content_than_the_locks_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (wheel,) = (cache_of(root) / f"wheels-{PYTHON}").iterdir()
    (tmp_path / wheel.name).write_bytes(wheel.read_bytes() + b"!")
    wheel.unlink()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ImageError, match=r"^pip cannot download the packages: [^\n]*HASHES"):
        found(root)


@pytest.mark.usefixtures("no_index")
def test_a_package_that_is_not_to_be_had_is_one_line(root: Path) -> None:
    with pytest.raises(ImageError) as caught:
        found(root, "3.12")
    line = str(caught.value)
    assert line.startswith("pip cannot download the packages: ")
    assert "package==1.0" in line and "\n" not in line
    assert not list(cache_of(root).glob("tmp*"))


@pytest.mark.usefixtures("slow_pip")
def test_a_slow_index_has_a_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "_LIMIT_SECONDS", 0.3)
    with pytest.raises(ImageError, match="pip has not downloaded the packages in 0 minutes: check"):
        found(root, "3.12")


@pytest.mark.usefixtures("slow_pip")
def test_pip_ends_with_whoever_asked_for_the_image(root: Path) -> None:
    stopped = threading.Event()
    threading.Timer(0.3, stopped.set).start()
    with pytest.raises(StoppedError):
        lock = root / "web" / "requirements.lock"
        wheels.wheels(lock, "3.12", cache_of(root), stopped, print)
