"""Imports are followed through the checkout, and to its edge."""

from __future__ import annotations

from pathlib import Path

import pytest

from container_image.imports import followed


def write(root: Path, **files: str) -> Path:
    for name, code in files.items():
        file = root.joinpath(*name.split("__")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
    return root


@pytest.mark.parametrize(
    "code",
    [
        "import a.b",
        "from a import b",
        "from a.b import name",
        "def f():\n    from a.b import name",
        "try:\n    import a.b\nexcept ImportError: pass",
        "from . import b",
        "from .b import name",
        "import os, a.b as c",
    ],
)
def test_a_module_is_found_with_its_packages_however_it_is_imported(
    tmp_path: Path, code: str
) -> None:
    write(tmp_path, a__start=code, a__b="name = 1", a__unused="", other="")
    (tmp_path / "a" / "__init__.py").write_text("")
    files = {file.as_posix() for file in followed(tmp_path, "a.start").files}
    assert files == {"a/__init__.py", "a/b.py", "a/start.py"}


def test_imports_for_types_alone_are_not_followed(tmp_path: Path) -> None:
    code = "if TYPE_CHECKING:\n    import heavy\nelse:\n    import light"
    write(tmp_path, start=code, heavy="", light="")
    files = {file.name for file in followed(tmp_path, "start").files}
    assert files == {"start.py", "light.py"}


def test_packages_from_elsewhere_are_named(tmp_path: Path) -> None:
    write(tmp_path, start="import json.decoder\nfrom numpy import array\nimport start")
    assert followed(tmp_path, "start").elsewhere == {"json", "numpy"}
