"""Cloud stacks are kept out of the checkout's state folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pulumi
import pytest

from infra import backend, checkout
from infra.backend import BackendError, check
from infra.settings import project_file

ROOT_TYPE = "pulumi:pulumi:Stack"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder that is the backend in effect."""
    folder = tmp_path / "a #1 100%/.state"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{folder}")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MAKELEVEL", raising=False)
    return folder


def add_stack(state: Path, name: str, *types: str, project: str = "") -> Path:
    file = state / ".pulumi/stacks" / (project or project_file.project_name()) / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    latest: dict[str, Any] | None = {"resources": [{"type": t} for t in types]} if types else None
    file.write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))
    return file


@pytest.mark.parametrize("name", ["dev", "organization/diffusion-serving/dev"])
def test_a_new_cloud_stack_is_refused_in_one_line(state: Path, name: str) -> None:
    add_stack(state, "dev", ROOT_TYPE, "gcp:x", project="another")
    with pytest.raises(BackendError) as error:
        check(name, state)
    text = str(error.value)
    assert text.startswith(f"stack dev would keep its state in {state}, ")
    assert "unset PULUMI_BACKEND_URL" in text and "pulumi login" in text and "\n" not in text


def test_a_cloud_stack_that_is_there_goes_on_and_says_how_to_move_it(state: Path) -> None:
    add_stack(state, "dev", ROOT_TYPE, "gcp:x")
    for with_resources in (False, True):
        line = check("dev", state, with_resources=with_resources)
        assert "export" in line and "import" in line and "docs/gke.md" in line
        assert "\n" not in line


@pytest.mark.parametrize("types", [(), (ROOT_TYPE,)])
def test_a_program_takes_a_stack_without_resources_for_a_new_one(
    state: Path, types: tuple[str, ...]
) -> None:
    add_stack(state, "dev", *types)
    assert check("dev", state)
    with pytest.raises(BackendError):
        check("dev", state, with_resources=True)


def test_the_copy_of_a_cloud_stack_is_refused_while_the_original_is_there(state: Path) -> None:
    """Both have the same resources, which `down` in the copy would delete."""
    original = state.parent.with_name("A") / state.name
    checkout.adopt(original)
    shutil.copytree(original, state, dirs_exist_ok=True)
    add_stack(state, "dev", ROOT_TYPE, "gcp:x")
    with pytest.raises(BackendError) as error:
        check("dev", state)
    assert f"copy of the one in {original}" in str(error.value) and "\n" not in str(error.value)
    shutil.rmtree(original)
    assert "move it" in check("dev", state)


def test_the_target_counts_with_and_without_the_projects_name(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_file, "ROOT", tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: diffusion-serving\n")
    for key in ("target", "diffusion-serving:target"):
        (tmp_path / "Pulumi.dev.yaml").write_text(f"config:\n  {key}: gke\n")
        with pytest.raises(BackendError):
            check("dev", state)


def test_a_stack_for_this_machine_may_be_there(state: Path) -> None:
    assert check("local", state) == ""
    assert check("another-one-without-a-file", state) == ""


@pytest.mark.parametrize("url", ["", "gs://bucket", "https://api.pulumi.com", "file:///elsewhere"])
def test_another_backend_is_the_users_own(
    state: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", url)
    assert check("dev", state) == ""


def test_the_backend_is_found_however_it_is_named(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(state.parent)
    escaped = str(state).replace("%", "%25").replace("#", "%23")
    for url in (f"file://{escaped}", f"file://{state}?no_tmp_dir=true", f"file://{link}/.state"):
        monkeypatch.setenv("PULUMI_BACKEND_URL", url)
        assert backend.is_backend(state), url
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    assert not backend.is_backend(state)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/credentials.json").write_text(json.dumps({"current": f"file://{state}"}))
    assert backend.is_backend(state)


def test_without_a_home_folder_nobody_is_logged_in(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    for name in ("PULUMI_BACKEND_URL", "PULUMI_HOME"):
        monkeypatch.delenv(name)
    assert check("dev", state) == ""


def test_a_program_by_hand_is_refused_or_warned(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", shown.append)
    monkeypatch.setattr(pulumi, "get_stack", lambda: "dev")
    monkeypatch.delenv("PULUMI_CONFIG", raising=False)
    backend.refuse_new_cloud_state(state)  # without an engine there is no backend
    monkeypatch.setenv("PULUMI_CONFIG", "{}")
    with pytest.raises(pulumi.RunError, match=r"^stack dev would keep its state in "):
        backend.refuse_new_cloud_state(state)
    add_stack(state, "dev", ROOT_TYPE, "gcp:x")
    backend.refuse_new_cloud_state(state)
    assert len(shown) == 1
    monkeypatch.setenv("MAKELEVEL", "1")  # make says it too
    backend.refuse_new_cloud_state(state)
    assert len(shown) == 1
