"""What the tests rely on in the processes they start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ASKED = "ASKED_IN_A_RUN_THAT_IGNORES_INTERRUPTS"
IS_HANDLED = "import signal; print(signal.getsignal(signal.SIGINT) is not signal.SIG_IGN)"


def test_children_can_be_interrupted() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", IS_HANDLED], stdout=subprocess.PIPE, text=True, check=True
    )
    assert printed.stdout.strip() == "True"


@pytest.mark.skipif(ASKED in os.environ, reason="this is that run")
def test_children_can_be_interrupted_even_if_the_test_run_ignores_interrupts() -> None:
    ignoring = (
        "import os, signal, sys\n"
        f"signal.signal({int(signal.SIGINT)}, signal.SIG_IGN)\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", ignoring, "-m", "pytest", "-p", "no:cacheprovider", __file__],
        cwd=Path(__file__).parents[1],
        env={**os.environ, ASKED: "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0 and "1 passed, 1 skipped" in ran.stdout, ran.stdout
