"""Numbers that JSON does not have, NaN and infinity, are kept as the official CLI keeps them."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from typing import Any, NoReturn

import pytest

from tests.engine.pulumi_project import PulumiProject

PROGRAM = """
nan, inf = float("nan"), float("inf")
a = Thing("a", ratio=inf, listed=[{"low": -inf}], hidden=pulumi.Output.secret({"x": nan}))
pulumi.export("high", a.ratio)
pulumi.export("none", nan)
"""
SIGNATURE = {"4dabf18193072939515e22adb298388d": "8ad145fe-0d11-4827-bfd7-1abcbf086f5c"}
# What the official CLI of version 3.260 writes and prints.
OUTPUTS = {
    "high": {**SIGNATURE, "value": "7ff0000000000000"},
    "none": {**SIGNATURE, "value": "7ff8000000000000"},
}


def strictly(text: str) -> Any:
    """The content of a JSON text, in which Python alone would accept NaN."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_nan_and_infinity_have_the_official_form_in_all_json(project: PulumiProject) -> None:
    project.program(PROGRAM)
    shown = project.up().out
    assert "none: NaN" in shown and "high: +Inf" in shown
    assert strictly(project.checkpoint.read_text())["version"] == 3
    assert project.deployment()["resources"][0]["outputs"] == OUTPUTS
    assert strictly(project.run("stack", "output", "--json").out) == OUTPUTS
    assert strictly(project.run("stack", "output", "--json", "none").out) == OUTPUTS["none"]
    assert strictly(project.run("preview", "--json").out)["steps"]
    kept = project.resources()["a"].inputs
    assert kept["ratio"] == math.inf and kept["listed"] == [{"low": -math.inf}]
    hidden: Any = kept["hidden"]
    assert math.isnan(hidden.value["x"])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pulumi") is None, reason="the official Pulumi CLI is not on PATH")
def test_the_official_cli_reads_these_numbers(exact_project: PulumiProject) -> None:
    exact_project.program(PROGRAM)
    exact_project.set_runtime(f"{{name: python, options: {{virtualenv: {sys.prefix}}}}}")
    exact_project.up()
    command = ["pulumi", "stack", "output", "--json", "--stack", "dev"]
    ran = subprocess.run(
        [*command, "-C", str(exact_project.folder)], stdout=subprocess.PIPE, check=True
    )
    assert json.loads(ran.stdout) == OUTPUTS
