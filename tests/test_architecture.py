"""docs/architecture.md: its table has every room of the checkout, and says what each may know."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOR_ALL = {"console", "tfserving"}


def rows() -> dict[str, set[str]]:
    """Of each room, the names of the others that the table lets it know."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("| room |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [line.strip("| ").split(" | ") for line in table]
    return {named(room)[0]: set(named(known)) | FOR_ALL for room, _, known in cells}


def named(cell: str) -> list[str]:
    return [name.replace("/", ".") for name in re.findall(r"`([^`]+)`", cell)]


def test_every_package_is_a_room_of_the_table() -> None:
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")} - {"tests"}
    assert {room.partition(".")[0] for room in rows()} == packages


def test_a_room_knows_only_those_that_the_table_names() -> None:
    table = rows()
    found = {
        f"{file.relative_to(ROOT)}: {module}"
        for room, known in table.items()
        for file in (ROOT / room.replace(".", "/")).rglob("*.py")
        for module in imported(file)
        # Of a package that has rooms, what lies beside them is for all.
        if any(is_in(module, each) for each in table)
        and not any(is_in(module, each) for each in (room, *known))
    }
    assert found == set()


def test_the_table_names_no_room_that_is_not_used() -> None:
    table = rows()
    for room, known in table.items():
        files = (ROOT / room.replace(".", "/")).rglob("*.py")
        modules = {module for file in files for module in imported(file)}
        used = {each for each in known if any(is_in(module, each) for module in modules)}
        assert known - used <= FOR_ALL, room


@cache
def imported(file: Path) -> frozenset[str]:
    """The modules that a file imports anywhere, with the names of what it takes from them."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    modules = {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
    return frozenset(modules).union(
        f"{node.module}.{each.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    )


def is_in(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")
