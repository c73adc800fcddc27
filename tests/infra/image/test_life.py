"""A stack with the image from `up` to `destroy`, on both engines."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.image.logins import PASSWORD, USER
from tests.container_image.checkouts import PYTHON, checkout, push_base
from tests.container_image.gate import Gate, gate_before
from tests.container_image.stub_registry import StubRegistry, stub_registry
from tests.official_cli import ROOT, cli_environment, write_program

pytestmark = pytest.mark.slow

PROGRAM = f"""
import pulumi
from infra.image.base_image import BaseImage
from infra.image.web_image import WebImage

host = pulumi.Config().require("host")
base = BaseImage("web-base", image=f"{{host}}/base:nonroot", repository=f"{{host}}/stack")
image = WebImage("web", base=base.pinned, python="{PYTHON}", repository=f"{{host}}/stack")
pulumi.export("image", image.reference)
"""
ENGINES = {"embedded": [sys.executable, "-m", "engine"], "official": ["pulumi"]}


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> list[str]:
    command = ENGINES[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip("the official Pulumi CLI is not on PATH")
    return command


@pytest.fixture
def registry() -> Iterator[StubRegistry]:
    with stub_registry() as stub:
        push_base(stub.host)
        yield stub


@pytest.fixture
def gate(registry: StubRegistry) -> Iterator[Gate]:
    with gate_before(registry.host, wants="token", password="s3cret") as before:
        yield before


def images(registry: StubRegistry) -> set[str]:
    return {digest for repository, digest in registry.manifests if repository == "stack/web"}


def test_a_stack_with_the_image_lives_and_leaves_nothing(
    engine: list[str], registry: StubRegistry, gate: Gate, tmp_path: Path
) -> None:
    root = checkout(tmp_path / "checkout")
    for package in ("console", "container_image", "infra"):
        shutil.copytree(ROOT / package, root / package)
    project = tmp_path / "project"
    project.mkdir()
    write_program(project, "images", PROGRAM)
    environment = {
        **cli_environment(tmp_path),
        "PYTHONPATH": f"{root}:{ROOT}",
        USER: gate.user,
        PASSWORD: gate.password,
    }
    (project / "Pulumi.dev.yaml").write_text(f"config:\n  images:host: {gate.host}\n")
    pulumi = _runner(engine, project, environment)
    pulumi("stack", "select", "--create", "--stack", "dev")

    pulumi("up", "--yes", "--stack", "dev")
    (first,) = images(registry)
    assert f"{gate.host}/stack/web@{first}" in _state(tmp_path)

    registry.asked.clear()
    pulumi("up", "--yes", "--refresh", "--stack", "dev")
    assert registry.pushes() == []

    (root / "web" / "answer.py").write_text("ANSWER = 43\n")
    gate.asked.clear()
    assert "replace" in pulumi("preview", "--stack", "dev")
    assert gate.asked == []

    pulumi("up", "--yes", "--stack", "dev")
    (second,) = images(registry)
    assert second != first
    written = [one.split()[0] for one in registry.pushes() if "/manifests/" in one]
    assert written == ["PUT", "DELETE"]
    state = _state(tmp_path)
    assert second in state
    assert not any(secret in state for secret in (gate.password, "Bearer", gate.basic))

    pulumi("destroy", "--yes", "--stack", "dev")
    assert images(registry) == set()


def _state(folder: Path) -> str:
    """All that the backend has, also of earlier updates."""
    files = [file for file in (folder / "backend").rglob("*") if file.is_file()]
    return "\n".join(file.read_text() for file in files)


def _runner(engine: list[str], project: Path, environment: dict[str, str]) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        ran = subprocess.run(
            [*engine, *arguments, "-C", str(project)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    return run
