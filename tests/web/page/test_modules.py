"""The page's modules, by their own tests under Node.js."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.page import node

MODULES = Path(__file__).with_name("modules")
TESTS = sorted(MODULES.glob("*.test.mjs"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.removesuffix(".test.mjs"))
def test_the_tests_of_a_module_pass(path: Path) -> None:
    said = node.run("--test", "--test-reporter=tap", path)
    assert "\n# fail 0\n" in said, said[-6000:]
    assert "\n# pass 0\n" not in said, f"{path.name} has no tests"
