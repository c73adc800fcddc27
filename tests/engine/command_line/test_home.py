"""A home folder that is missing or not writable: the engine works, and says what it lost."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from engine.project import workspace
from tests.engine.pulumi_project import PulumiProject

pytestmark = pytest.mark.slow


def no_home() -> NoReturn:
    raise RuntimeError("Could not determine home directory.")


@pytest.fixture(params=["unwritable", "unknown"])
def homeless(
    request: pytest.FixtureRequest, unselected: PulumiProject, monkeypatch: pytest.MonkeyPatch
) -> PulumiProject:
    """A project of a user without a usable home folder."""
    monkeypatch.delenv("PULUMI_HOME")
    if request.param == "unwritable":
        monkeypatch.setenv("HOME", "/dev/null")
    else:
        monkeypatch.setattr(Path, "home", no_home)
    return unselected


def test_every_command_works_with_the_stack_named(homeless: PulumiProject) -> None:
    homeless.program('Thing("a")')
    selected = homeless.run("stack", "select", "--create", "--stack", "dev")
    assert selected.code == 0
    (*_, warning) = selected.err.splitlines()
    assert warning.startswith("warning: which stack is selected could not be saved")
    assert "--stack" in warning
    for command in ("up --yes", "stack output", "stack ls", "refresh --yes", "destroy --yes"):
        ran = homeless.run(*command.split(), "--stack", "dev")
        assert (ran.code, ran.err) == (0, ""), ran.text
    removed = homeless.run("stack", "rm", "--yes", "--stack", "dev")
    assert removed.code == 0
    assert len(removed.err.splitlines()) == 1


def test_without_a_name_one_line_asks_for_it(homeless: PulumiProject) -> None:
    homeless.program("")
    homeless.run("stack", "select", "--create", "dev")
    ran = homeless.run("preview")
    assert ran.code != 0
    (line,) = ran.err.splitlines()
    assert "no stack selected" in line


def test_without_a_home_folder_the_backend_is_asked_for(
    unselected: PulumiProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    unselected.program("")
    monkeypatch.delenv("PULUMI_HOME")
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    monkeypatch.setattr(Path, "home", no_home)
    assert workspace.logged_in_backend() == ""
    ran = unselected.run("stack", "ls")
    (line,) = ran.err.splitlines()
    assert "no backend is set: set PULUMI_BACKEND_URL" in line
