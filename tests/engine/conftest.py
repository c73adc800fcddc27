"""Fixtures: a Pulumi project with a stack, isolated from the user's own Pulumi settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.project import passphrase
from tests.engine.pulumi_project import REPOSITORY, PulumiProject


@pytest.fixture
def unselected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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

    return PulumiProject(folder, capture)


@pytest.fixture
def exact_project(unselected: PulumiProject) -> PulumiProject:
    """A project with the empty stack `dev`, selected; every process can open its secrets."""
    ran = unselected.run("stack", "select", "--create", "dev")
    assert ran.code == 0, ran.text
    return unselected


@pytest.fixture
def project(unselected: PulumiProject, monkeypatch: pytest.MonkeyPatch) -> PulumiProject:
    """The same with cheap secrets, for commands that all run in this process."""
    monkeypatch.setattr(passphrase, "_PBKDF2_ITERATIONS", 1)
    ran = unselected.run("stack", "select", "--create", "dev")
    assert ran.code == 0, ran.text
    return unselected
