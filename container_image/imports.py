"""The modules of this checkout that a module needs, found by following its imports."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Imported:
    """files: the checkout's own, as paths in it; elsewhere: the first names of all others."""

    files: frozenset[Path]
    elsewhere: frozenset[str]


def followed(root: Path, start: str) -> Imported:
    """From the module `start`, through imports in functions too, but not those for types alone."""
    files: set[Path] = set()
    elsewhere: set[str] = set()
    waiting = list(_with_packages(start))
    while waiting:
        module = waiting.pop()
        file = _file(root, module)
        if file is None:
            if "." not in module:
                elsewhere.add(module)
        elif file not in files:
            files.add(file)
            package = module if file.name == "__init__.py" else module.rpartition(".")[0]
            for name in _imported((root / file).read_bytes(), package):
                waiting += _with_packages(name)
    return Imported(frozenset(files), frozenset(elsewhere))


def _with_packages(module: str) -> Iterator[str]:
    parts = module.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _file(root: Path, module: str) -> Path | None:
    path = Path(*module.split("."))
    for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if (root / file).is_file():
            return file
    return None


@cache
def _imported(code: bytes, package: str) -> tuple[str, ...]:
    return tuple(_names([ast.parse(code)], package))


def _names(nodes: Iterable[ast.AST], package: str) -> Iterator[str]:
    """What is imported; of `from a import b` also a.b, which may be a module."""
    for node in nodes:
        match node:
            case ast.Import():
                yield from (one.name for one in node.names)
            case ast.ImportFrom():
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*(above if node.level else []), *filter(None, [node.module])])
                yield module
                yield from (f"{module}.{one.name}" for one in node.names)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from _names(node.orelse, package)
            case _:
                yield from _names(ast.iter_child_nodes(node), package)
