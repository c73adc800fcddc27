"""What help texts say to type works in this shell, with or without an activated environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = Path(sys.executable).parent


def output_of(command: str, path: str, folder: Path = ROOT) -> str:
    ran = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


@pytest.mark.parametrize("module", ["client", "model_export", "render", "engine", "devserver"])
@pytest.mark.parametrize("path", [f"{ENVIRONMENT}:/usr/bin:/bin", "/usr/bin:/bin"])
def test_the_usage_line_works_as_typed(module: str, path: str) -> None:
    assert_usage_works(module, path, ROOT)


@pytest.mark.parametrize("module", ["client", "engine"])
def test_the_usage_line_works_in_another_folder(module: str, tmp_path: Path) -> None:
    assert_usage_works(module, "/usr/bin:/bin", tmp_path)


def assert_usage_works(module: str, path: str, folder: Path) -> None:
    first = output_of(f"'{sys.executable}' -m {module} --help", path, folder)
    started_as = first.partition("usage: ")[2].partition(f" -m {module} ")[0]
    assert (started_as in ("python", "python3")) == (str(ENVIRONMENT) in path)
    assert output_of(f"{started_as} -m {module} --help", path, folder) == first
    assert "%(prog)s" not in first


def test_the_examples_of_a_command_name_it_as_typed() -> None:
    text = output_of(f"'{sys.executable}' -m client generate --help", "/usr/bin:/bin")
    assert f'\n  {_relative(sys.executable)} -m client generate "a small red circle' in text


def _relative(path: str) -> str:
    return str(Path(path).relative_to(ROOT)) if Path(path).is_relative_to(ROOT) else path
