"""For all tests: signals as in a shell's foreground, and how tests are given to the workers."""

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

from engine.processes.loopback import with_direct_loopback

# A shell starts its background jobs with SIGINT ignored, and nohup its command with SIGHUP, which
# every process inherits that they start: then no test could interrupt its children. Handlers are
# not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = Path(__file__).resolve().parents[1]
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ

# A proxy in the environment cannot reach the servers that tests start. `no_grpc_proxy` stays out:
# it would hide what a test says with `no_proxy`.
DIRECT = with_direct_loopback(os.environ)
os.environ.update({name: DIRECT[name] for name in ("no_proxy", "NO_PROXY")})

# A worker, and each process that it starts, computes on one core.
if IS_WORKER:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

BATCHES: Sequence[str] = (
    "tests/model_export/test_full_size.py",
    "tests/model_export/test_sd14.py",
    "tests/deploy/test_local_stack.py",
    "tests/model_export/demo/test_served_model.py",
    "tests/model_export/",
    "tests/devserver/",
)
"""Tests that one worker runs as a batch, in this order and before all others.

They are files that take minutes, first so that no worker is left with one at the end, and folders
whose files share a model or servers. Every other file is its own batch.
"""


def batch_of(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return next((batch for batch in BATCHES if file.startswith(batch)), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {batch: number for number, batch in enumerate(BATCHES)}
    items.sort(key=lambda item: rank.get(batch_of(item.nodeid), len(rank)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        """Hands out batches, in the order of the items."""

        def _split_scope(self, nodeid: str) -> str:
            return batch_of(nodeid)

    config.option.loadscopereorder = False
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def demo_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model as the stack `local` publishes it, exported once for all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if IS_WORKER else base
    models = shared / "models"
    with (shared / "models.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(models.glob("*/manifest.json")):  # written last
            command = [sys.executable, "-m", "model_export", "export", "--to", models.as_uri()]
            subprocess.run(command, cwd=ROOT, check=True)
    (manifest,) = models.glob("*/manifest.json")
    return manifest.parent
