"""A registry in memory, a small checkout, and no pauses between tries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from container_image import connection
from tests.container_image.checkouts import checkout
from tests.container_image.stub_registry import StubRegistry, stub_registry


@pytest.fixture
def registry() -> Iterator[StubRegistry]:
    with stub_registry() as stub:
        yield stub


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return checkout(tmp_path / "checkout")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = [0.0 for _ in connection._PAUSES_SECONDS]
    monkeypatch.setattr(connection, "_PAUSES_SECONDS", pauses)
