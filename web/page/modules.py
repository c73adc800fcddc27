"""The page's JavaScript modules, joined into one script.

The sources run as they are, as plain modules. Joining them is removing `import`, `export` and the
comments that begin a line, which is right as long as they keep to a few rules; a source that breaks
one is named here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from web.page.errors import PageError

_IMPORT = re.compile(r'^import \{([^{}]*)\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function\*?|class|const) )", re.MULTILINE)
_DECLARATION = re.compile(
    r"^(export )?(?:async function\*?|function\*?|class|const|let|var) +([\w$]+|.)", re.MULTILINE
)
_COMMENT = re.compile(r"^ *(?://[^\n]*|/\*(?:[^*]|\*(?!/))*\*/ *)(?:\n|\Z)", re.MULTILINE)
_AWAIT = re.compile(r"^(?!.*\basync\b)(?=[^\s/*]).*\bawait\b", re.MULTILINE)
_LATE_BOUND = re.compile(r"\bimport *[(.]")
_ENDS_SCRIPT = re.compile(r"</script|<!--", re.IGNORECASE)
_NAME = re.compile(r"[\w$]+")


@dataclass(frozen=True)
class Module:
    """One source, taken apart."""

    file: str
    body: str
    """Without imports, comments that begin a line, and the word `export`."""
    imports: tuple[tuple[str, tuple[str, ...]], ...]
    """Files, and what is used of each."""
    names: tuple[str, ...]
    """All that it declares at the top level."""
    exports: frozenset[str]


def joined(sources: Mapping[str, str], start: str) -> str:
    """One script of `start` and all that it needs, each after what it imports.

    sources: the text of each file. Raises `PageError` for one that breaks the rules.
    """
    modules = _in_order(sources, start)
    _check_names(modules)
    return "\n".join(f"// {module.file}\n{module.body}" for module in modules)


def module(file: str, text: str) -> Module:
    """Take a source apart. Raises `PageError` if it can't be joined with others."""
    body = _EXPORT.sub("", _IMPORT.sub("", text))
    code = _COMMENT.sub("", text)
    for pattern, rule in (
        (_LATE_BOUND, "import(…) and import.meta need a file of their own: import at the top"),
        (_ENDS_SCRIPT, "this text would end the script: write it in two pieces"),
        (_AWAIT, "no await at the top level: put it into a function"),
    ):
        if found := pattern.search(code):
            raise PageError(f"{file}: {found[0].strip()!r}: {rule}")
    for line in _COMMENT.sub("", body).splitlines():
        if line.startswith(("import ", "import{")):
            raise PageError(f'{file}: {line!r}: write import {{ name }} from "./file.js";')
        if line.startswith("export"):
            raise PageError(f"{file}: {line!r}: export a function, class or const where it is")
    imports = tuple((found[2], _names(file, found[1])) for found in _IMPORT.finditer(code))
    if imports and _IMPORT.sub("", code).strip() != _after_imports(code):
        raise PageError(f"{file}: all imports belong at the top")
    declared = [(found[1], found[2]) for found in _DECLARATION.finditer(code)]
    for _, name in declared:
        if not _NAME.fullmatch(name):
            raise PageError(f"{file}: declare one plain name at a time at the top level")
    return Module(
        file,
        _COMMENT.sub("", body).strip("\n") + "\n",
        imports,
        tuple(name for _, name in declared),
        frozenset(name for exported, name in declared if exported),
    )


def _names(file: str, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if not _NAME.fullmatch(name):
            raise PageError(f"{file}: import {name!r} under its own name")
    return names


def _after_imports(code: str) -> str:
    *_, last = _IMPORT.finditer(code)
    return code[last.end() :].strip()


def _in_order(sources: Mapping[str, str], start: str) -> Sequence[Module]:
    done: dict[str, Module] = {}

    def visit(file: str, path: tuple[str, ...]) -> None:
        if file in done:
            return
        if file in path:
            raise PageError(f"modules import each other: {' → '.join((*path, file))}")
        if file not in sources:
            needed = f", which {path[-1]} imports" if path else ""
            raise PageError(f"there is no {file}{needed}")
        this = module(file, sources[file])
        for other, names in this.imports:
            visit(other, (*path, file))
            if missing := [name for name in names if name not in done[other].exports]:
                raise PageError(f"{file} imports {', '.join(missing)}, which {other} has not")
        done[file] = this

    visit(start, ())
    return list(done.values())


def _check_names(modules: Sequence[Module]) -> None:
    """That no two modules use one name at the top level: they share it once they are joined."""
    homes: dict[str, str] = {}
    for name, file in _declared(modules):
        if name in homes:
            raise PageError(f"{name} is declared in {homes[name]} and in {file}: rename one")
        homes[name] = file


def _declared(modules: Sequence[Module]) -> Iterator[tuple[str, str]]:
    return ((name, module.file) for module in modules for name in module.names)
