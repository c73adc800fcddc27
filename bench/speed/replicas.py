"""Pictures per second of one server on one core, and of two servers on a core each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from client import Client, ClientError
from model_export.spec import MODEL_NAME
from tests.devserver.processes import free_ports

ROOT = Path(__file__).resolve().parents[2]
READY_LIMIT_SECONDS = 600.0
PICTURE_LIMIT_SECONDS = 3600.0
_POLL_SECONDS = 0.2
# The cores are set before TensorFlow counts them.
_SERVE_ON_CORE = (
    "import os, runpy, sys; os.sched_setaffinity(0, {int(sys.argv.pop(1))}); "
    "runpy.run_module('devserver', run_name='__main__')"
)


def measure(folder: Path, num_steps: int, pictures: int, rounds: int) -> dict[str, list[float]]:
    """The servers hold the model of a folder; each one is asked for so many pictures in a row.

    In turns, so that what else the machine does slows both measurements.
    """
    cores = sorted(os.sched_getaffinity(0))[:2]
    rates: dict[str, list[float]] = {"one": [], "two": []}
    with ExitStack() as stack:
        clients = [stack.enter_context(_server(folder, core)) for core in cores]

        def draw(client: Client) -> None:
            for seed in range(pictures):
                client.generate("a lighthouse in a storm", num_steps=num_steps, seed=seed)

        with ThreadPoolExecutor(len(clients)) as threads:
            list(threads.map(draw, clients))  # what happens at the first picture only
            for _ in range(rounds):
                for name, asked in (("one", clients[:1]), ("two", clients)):
                    began = time.monotonic()
                    list(threads.map(draw, asked))
                    rates[name].append(len(asked) * pictures / (time.monotonic() - began))
    return rates


@contextmanager
def _server(folder: Path, core: int) -> Iterator[Client]:
    rest_port, grpc_port = free_ports(2)
    options = {
        "model_name": MODEL_NAME,
        "model_base_path": folder,
        "port": grpc_port,
        "rest_api_port": rest_port,
        "rest_api_timeout_in_ms": int(PICTURE_LIMIT_SECONDS * 1000),
    }
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", _SERVE_ON_CORE, str(core), "--stop_unless_kept"),
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,  # its end stops the server
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        endpoint = f"http://127.0.0.1:{rest_port}"
        with Client(endpoint, timeout_seconds=PICTURE_LIMIT_SECONDS) as client:
            _wait_until_ready(process, client)
            yield client
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], client: Client) -> None:
    deadline = time.monotonic() + READY_LIMIT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if client.status().state == "ready":
                return
        except ClientError:
            pass  # not listening yet
        time.sleep(_POLL_SECONDS)
    raise RuntimeError("a replica did not become ready: python -m devserver shows why")
