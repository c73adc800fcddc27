"""When a client's environment is made, and what happens without a package index."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.outcomes import Failed, Skipped

from tests.web.clients import environments


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(environments, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def made(lock: bytes, *files: str) -> Path:
    def make(home: Path) -> None:
        home.mkdir()
        for file in files:
            (home / file).touch()

    return environments.made("client", lock, make)


def test_an_environment_is_made_once_for_a_lock() -> None:
    first = made(b"openai==1", "first")
    assert made(b"openai==1", "second") == first
    assert (first / "first").exists()
    assert not (first / "second").exists()


def test_another_lock_replaces_the_environment() -> None:
    first = made(b"openai==1")
    second = made(b"openai==2")
    assert second.exists()
    assert not first.exists()


def test_an_environment_that_was_left_unfinished_is_made_again() -> None:
    unfinished = made(b"openai==1", "first")
    (unfinished / "complete").unlink()
    assert made(b"openai==1", "second") == unfinished
    assert {path.name for path in unfinished.iterdir()} == {"second", "complete"}


@pytest.mark.parametrize(("ci", "outcome"), [("", Skipped), ("true", Failed)])
def test_without_a_package_index_clients_are_skipped_but_not_in_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, outcome: type[BaseException]
) -> None:
    home = tmp_path / "client"
    home.mkdir()
    monkeypatch.setenv("CI", ci)
    command = ["python3", "-c", "import sys; sys.exit('no index here')"]
    with pytest.raises(outcome, match="cannot install client: no index here"):
        environments.run_installer(command, home)
