"""The committed modules of `tfserving/` are what protoc makes of its `.proto` files."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tfserving"
GENERATED = ("*_pb2.py", "*_pb2.pyi")


def contents(package: Path) -> dict[str, str]:
    """The generated modules and stubs in a folder, by name."""
    return {path.name: path.read_text() for glob in GENERATED for path in package.glob(glob)}


def test_the_committed_modules_are_generated_from_the_proto_files(tmp_path: Path) -> None:
    """Otherwise one was edited without the other: run `make protos`."""
    subprocess.run(
        # The environment that runs this test is complete, whatever its files' times say.
        ["make", "--old-file=.venv/.installed-dev", "protos", f"OUT={tmp_path}"],
        cwd=ROOT,
        check=True,
    )
    assert contents(PACKAGE) == contents(tmp_path / "tfserving")


def test_every_proto_file_has_a_module_and_a_stub() -> None:
    stems = {path.stem for path in PACKAGE.glob("*.proto")}
    assert stems
    assert set(contents(PACKAGE)) == {
        f"{stem}_pb2{end}" for stem in stems for end in (".py", ".pyi")
    }


def test_the_pinned_protobuf_accepts_the_generated_code() -> None:
    """It refuses code of a later version than its own."""
    (pinned,) = re.findall(r"^protobuf==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    assert pinned == version("protobuf")
    for name, content in contents(PACKAGE).items():
        for made_by in re.findall(r"^# Protobuf Python Version: (\S+)$", content, re.M):
            assert numbers(made_by)[0] == numbers(pinned)[0], name
            assert numbers(made_by) <= numbers(pinned), name


def numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def test_nothing_is_imported_but_protobuf() -> None:
    modules = [f"tfserving.{path.stem}" for path in PACKAGE.glob("*_pb2.py")]
    program = (
        "import sys; before = set(sys.modules); "
        f"import {', '.join(modules)}; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before} "
        "- set(sys.stdlib_module_names)))"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["google", "tfserving"]
