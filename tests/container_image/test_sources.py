"""Which files the image has, and what its identity depends on."""

from __future__ import annotations

import socket
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from container_image.errors import ImageError
from container_image.imports import followed
from container_image.lock import normalised, parse
from container_image.sources import ROOT, START, content_identity, sources
from tests.container_image.checkouts import checkout


def test_every_package_that_the_service_imports_is_in_the_lock() -> None:
    imported = followed(ROOT, START).elsewhere - sys.stdlib_module_names
    locked = {one.name for one in parse((ROOT / "web/requirements.lock").read_text())}
    owners = packages_distributions()
    unknown = {
        name: owners.get(name)
        for name in imported
        if not locked & {normalised(owner) for owner in owners.get(name, [])}
    }
    assert not unknown
    assert {"fastapi", "grpc", "uvicorn", "PIL"} <= imported


def test_the_image_has_neither_the_program_nor_what_makes_models() -> None:
    rooms = {file.parts[0] for file in sources()}
    assert rooms == {
        *("LICENSE", "console", "dashboards", "model_export", "prediction", "tfserving", "web")
    }
    assert "model_export/resource.py" not in {file.as_posix() for file in sources()}


def test_every_module_of_the_service_is_in_the_image() -> None:
    modules = {file.relative_to(ROOT) for file in (ROOT / "web").rglob("*.py")}
    assert modules - set(sources()) == set()


def test_the_identity_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert content_identity() == content_identity()


def test_the_identity_is_of_the_content_alone(root: Path, tmp_path: Path) -> None:
    elsewhere = checkout(tmp_path / "elsewhere")
    (elsewhere / "web" / "unused.py").write_text("changed = True")
    (elsewhere / "web" / "answer.py").touch()
    assert content_identity(root) == content_identity(elsewhere)


@pytest.mark.parametrize(
    "name",
    ["web/answer.py", "web/requirements.lock", "web/page/source/style.css", "LICENSE"],
)
def test_a_changed_file_of_the_image_changes_the_identity(root: Path, name: str) -> None:
    before = content_identity(root)
    (root / name).write_text((root / name).read_text() + "\n")
    assert content_identity(root) != before


def test_a_missing_file_is_named(root: Path) -> None:
    (root / "web/page/source/style.css").unlink()
    with pytest.raises(ImageError, match=r"\*\.css: there is no such file"):
        sources(root)
