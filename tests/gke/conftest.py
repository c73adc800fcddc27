"""One control plane for all tests of the folder, and a stack of its own for each."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.gke.control_plane import ControlPlane, control_plane
from tests.gke.lab import Lab, lab


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Generator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("kubernetes") / "plane") as running:
        yield running


@pytest.fixture
def dev(plane: ControlPlane, tmp_path: Path) -> Generator[Lab]:
    with lab(tmp_path / "lab", plane) as running:
        yield running
        print(f"\nseconds: {running.seconds}")
