"""Shared by the tests of people's own files: a tiny architecture, and a cache of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_export.checkpoints import architecture
from model_export.sd14 import weights
from tests.model_export.checkpoints.state_dicts import TINY


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the tiny model count as Stable Diffusion 1.x."""
    monkeypatch.setattr(architecture, "SD1", TINY)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where checksums and downloads are kept."""
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"
