"""An interrupted program ends without a traceback; in a test, SIGINT stays as it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from infra.gke.interruption import end_quietly_when_interrupted
from render.recorder import ROOT

PROGRAM = """
import os, signal
from infra.gke.interruption import end_quietly_when_interrupted
end_quietly_when_interrupted()
os.kill(os.getpid(), signal.SIGINT)
signal.pause()
"""


def test_an_interrupted_program_ends_without_a_traceback() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "PULUMI_CONFIG": "{}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (32, "")


def test_without_an_engine_sigint_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG", raising=False)
    before = signal.getsignal(signal.SIGINT)
    end_quietly_when_interrupted()
    assert signal.getsignal(signal.SIGINT) is before
