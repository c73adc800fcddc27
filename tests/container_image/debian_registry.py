"""Debian's package docker-registry, the registry that most others come from, as a process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.processes import wait_until

PROGRAM = shutil.which("docker-registry")
MISSING = "docker-registry is not on PATH: apt-get install docker-registry"
_CONFIG = """
version: 0.1
storage:
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http: {{addr: "{address}", relativeurls: {relative}}}
"""


@contextmanager
def debian_registry(folder: Path, *, relative: bool = False) -> Iterator[str]:
    """Its host and port. relative: whether it says where uploads go without its own name."""
    assert PROGRAM is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "config.yml"
    relative_urls = str(relative).lower()
    config.write_text(
        _CONFIG.format(folder=folder / "storage", address=address, relative=relative_urls)
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [PROGRAM, "serve", str(config)],
            stdout=log,
            stderr=log,
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
        try:
            wait_until(lambda: _answers(address), "the registry to answer", 30)
            yield address
        finally:
            process.terminate()
            process.wait(10)


def _answers(address: str) -> bool:
    try:
        return requests.get(f"http://{address}/v2/", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False
