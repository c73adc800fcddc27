"""The commands in messages: each works as typed, in a shell without the engine's environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from engine import hints
from tests.engine.pulumi_project import REPOSITORY, PulumiProject

COMMAND = re.compile(r"`([^`]+)`")


def typed(command: str, folder: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """The command in a shell that has none of Pulumi's variables except the folder of its files."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PULUMI_") or name == "PULUMI_HOME"
    }
    return subprocess.run(
        ["sh", "-c", f"{command} --yes"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def shown_command(text: str) -> str:
    (command,) = COMMAND.findall(text)
    return str(command)


def test_the_hint_for_a_locked_stack_unlocks_it(project: PulumiProject) -> None:
    project.locks.mkdir(parents=True, exist_ok=True)
    (project.locks / "1.json").write_text("{}")
    refused = project.run("up", "--yes")
    assert refused.code == 1
    done = typed(shown_command(refused.err))
    assert done.returncode == 0, done.stderr
    assert not list(project.locks.glob("*.json"))


def test_the_hint_after_a_destroy_removes_the_stack(project: PulumiProject) -> None:
    done = typed(shown_command(project.run("destroy", "--yes").out))
    assert done.returncode == 0, done.stderr
    assert not project.checkpoint.exists()


def test_the_hint_for_no_selected_stack_creates_one(unselected: PulumiProject) -> None:
    refused = unselected.run("up", "--yes")
    command = shown_command(refused.err).replace("NAME", "dev")
    assert command.endswith(" -m engine stack select --create dev")


def test_a_wrapper_names_its_own_commands(
    project: PulumiProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE_HINT_CANCEL", "make unlock")
    monkeypatch.setenv("ENGINE_HINT_STACK_RM", "")
    (project.locks / "1.json").parent.mkdir(parents=True, exist_ok=True)
    (project.locks / "1.json").write_text("{}")
    assert shown_command(project.run("up", "--yes").err) == "make unlock"
    project.run("cancel", "--yes")
    assert "completely" not in project.run("destroy", "--yes").out


def test_the_python_is_named_as_it_works_in_this_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(tmp_path / "it's", with_pip=False)
    python = tmp_path / "it's/bin/python"
    program = "from engine import hints; print(hints.program())"

    def named(path: str, folder: Path) -> str:
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}
        ran = subprocess.run(
            [str(python), "-c", program],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout.strip()

    assert named(f"{python.parent}:{os.environ['PATH']}", tmp_path) == "python -m engine"
    assert named("/usr/bin:/bin", tmp_path) == """'it'"'"'s/bin/python' -m engine"""
    (tmp_path / "elsewhere").mkdir()
    assert named("/usr/bin:/bin", tmp_path / "elsewhere").startswith(f"'{tmp_path}/it")
    assert Path(sys.executable).name in hints.program()
