"""Text files and programs' output are UTF-8, whatever the locale says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUBPROCESS = {"run", "Popen", "check_output", "check_call"}


def sources() -> Iterator[Path]:
    """The product's modules, and the benchmarks."""
    yield ROOT / "__main__.py"
    yield from (ROOT / "bench").rglob("*.py")
    for package in ROOT.glob("*/__init__.py"):
        if package.parent.name != "tests":
            yield from package.parent.rglob("*.py")


def reads_or_writes_text(call: ast.Call) -> bool:
    """Whether the call is one of those that choose the locale's encoding by default."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    modes = [
        value.value
        for value in (*call.args, *(k.value for k in call.keywords if k.arg == "mode"))
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]
    match name:
        case "read_text":  # a path's has no arguments
            return not call.args
        case "write_text":
            return True
        case "open" if ast.unparse(function) == "tarfile.open":  # an archive is never text
            return False
        case "open" if isinstance(function, ast.Attribute):
            opens_a_path = not call.args or isinstance(call.args[0], ast.Constant)
            return opens_a_path and not any("b" in mode for mode in modes)
        case "open" | "fdopen":
            return not any("b" in mode for mode in modes[-1:])
        case "TemporaryFile" | "NamedTemporaryFile":
            return bool(modes) and not any("b" in mode for mode in modes)
        case _ if name in SUBPROCESS:
            return any(k.arg in ("text", "universal_newlines") for k in call.keywords)
        case _:
            return False


def test_text_is_read_and_written_as_utf_8_explicitly() -> None:
    found = [
        f"{source.relative_to(ROOT)}:{node.lineno}"
        for source in sources()
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and reads_or_writes_text(node)
        and not any(keyword.arg == "encoding" for keyword in node.keywords)
    ]
    assert found == []
