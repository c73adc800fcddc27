"""For all tests: signals as in a shell's foreground, and how the workers share the tests out."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

# A shell starts its background jobs with SIGINT ignored, and nohup its command with SIGHUP, which
# every process inherits that they start: then no test could interrupt its children. Handlers are
# not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = Path(__file__).resolve().parents[1]
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ

# A worker, and each process that it starts, computes on one core.
if IS_WORKER:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

FIRST: Sequence[str] = (
    "tests/model_export/test_full_size.py",
    "tests/model_export/test_sd14.py",
    "tests/deploy/test_local_stack.py",
    "tests/model_export/demo/test_served_model.py",
)
"""Files that take minutes: begun first, so that no worker is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _rank(item.nodeid.partition("::")[0]))


def _rank(file: str) -> int:
    return FIRST.index(file) if file in FIRST else len(FIRST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests run in one worker, and share what its fixtures start; files in their order."""
    from xdist.scheduler.loadfile import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.fixture(scope="session")
def demo_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model as the stack `local` publishes it, exported once for all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if IS_WORKER else base
    models = shared / "models"
    with (shared / "models.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not models.exists():
            command = [sys.executable, "-m", "model_export", "export", "--to", models.as_uri()]
            subprocess.run(command, cwd=ROOT, check=True)
    (model,) = models.iterdir()
    return model
