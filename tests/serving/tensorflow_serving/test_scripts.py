"""The scripts as the pod finds them."""

from __future__ import annotations

import re
import subprocess

import pytest

from serving.tensorflow_serving.scripts import FOLDER, script_files


@pytest.mark.parametrize("name", script_files())
def test_bash_can_parse_a_script(name: str) -> None:
    done = subprocess.run(["bash", "-n", FOLDER / name], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("name", script_files())
def test_a_script_finds_those_that_it_includes_beside_it(name: str) -> None:
    included = re.findall(r'^\. "\$\{BASH_SOURCE%/\*\}/(.*)"$', script_files()[name], re.MULTILINE)
    assert len(included) == len(re.findall(r"^(?:\.|source) ", script_files()[name], re.MULTILINE))
    assert set(included) <= set(script_files())
