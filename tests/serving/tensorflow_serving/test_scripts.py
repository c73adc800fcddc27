"""The scripts as Kubernetes hands them to bash."""

from __future__ import annotations

import re
import subprocess

import pytest

from serving.tensorflow_serving.model_wait import wait_command
from serving.tensorflow_serving.probes import alive_command, ready_command
from serving.tensorflow_serving.starting import start_command
from serving.tensorflow_serving.stopping import drain_command

COMMANDS = {
    "wait": wait_command(reader="a/b", role="c", patience_seconds=1),
    "start": start_command(),
    "ready": ready_command(),
    "alive": alive_command(),
    "drain": drain_command(),
}


@pytest.fixture(params=COMMANDS)
def script(request: pytest.FixtureRequest) -> str:
    command = COMMANDS[request.param]
    return command[command.index("-c") + 1]


def test_bash_can_parse_a_script(script: str) -> None:
    done = subprocess.run(["/bin/bash", "-n", "-c", script], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_kubernetes_expands_nothing_in_a_script(script: str) -> None:
    """It replaces $(NAME) by an environment variable, and $$ by $."""
    assert not re.search(r"\$\([\w.-]+\)", script)
    assert "$$" not in script
