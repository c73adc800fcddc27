"""Where a backend's URL says that it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.pulumi_project import PulumiProject


@pytest.mark.parametrize(
    ("ending", "folder"),
    [
        ("a b", "a b"),
        ("a%20b%23c%2520d", "a b#c%20d"),
        ("gr%C3%BCn, %E8%B5%A4", "grün, 赤"),
        ("it's $HOME", "it's $HOME"),
        ("a#fragment", "a"),
        ("a?no_tmp_dir=true", "a"),
    ],
)
def test_a_backend_is_found_in_a_folder_of_any_name(
    unselected: PulumiProject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    folder: str,
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}/{ending}")
    unselected.program("")
    assert unselected.run("stack", "select", "--create", "dev").code == 0
    assert (tmp_path / folder / ".pulumi/stacks").is_dir()
    assert "dev*" in unselected.run("stack", "ls").out
