"""Fixtures: a Pulumi project with a stack, isolated from the user's own Pulumi settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.project import passphrase
from tests.engine import forks
from tests.engine.pulumi_project import REPOSITORY, PulumiProject


@pytest.fixture(scope="session")
def virtualenv(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A virtual environment whose interpreter has Pulumi's SDK imported when it starts."""
    with forks.interpreter(tmp_path_factory.mktemp("virtualenv")) as python:
        yield python.parents[1]


@pytest.fixture
def unselected(
    virtualenv: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> PulumiProject:
    """A project without a stack."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{folder}/state")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "")
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    monkeypatch.delenv("PULUMI_STACK", raising=False)
    monkeypatch.chdir(REPOSITORY)

    def capture() -> tuple[str, str]:
        captured = capsys.readouterr()
        monkeypatch.chdir(REPOSITORY)  # -C of the command before
        return captured.out, captured.err

    return PulumiProject(folder, capture, virtualenv)


@pytest.fixture
def exact_project(unselected: PulumiProject) -> PulumiProject:
    """A project with the empty stack `dev` selected, for commands in processes of their own.

    They can decrypt its secrets, and their children are real ones, in the command's session.
    """
    unselected.set_runtime("python")
    ran = unselected.run("stack", "select", "--create", "dev")
    assert ran.code == 0, ran.text
    return unselected


@pytest.fixture
def project(unselected: PulumiProject, monkeypatch: pytest.MonkeyPatch) -> PulumiProject:
    """The same with cheap key derivation, for commands that run in this process only."""
    monkeypatch.setattr(passphrase, "_PBKDF2_ITERATIONS", 1)
    ran = unselected.run("stack", "select", "--create", "dev")
    assert ran.code == 0, ran.text
    return unselected
