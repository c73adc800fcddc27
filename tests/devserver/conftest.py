"""Servers that the tests share: one plain, one with batching, both started once per session."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.devserver import models
from tests.devserver.processes import Server

REST_TIMEOUT_MS = 1500

BATCHING = """
max_batch_size { value: 4 }
enable_large_batch_splitting { value: true }
max_execution_batch_size { value: 1 }
num_batch_threads { value: 1 }
max_enqueued_batches { value: 6 }
batch_timeout_micros { value: 0 }
allowed_batch_sizes: [ 1, 4 ]
"""


@pytest.fixture(scope="session")
def base_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with one good version, 123, and warm-up records."""
    base = tmp_path_factory.mktemp("model")
    models.export(base / "123")
    models.write_warmup(base / "123", [("", {"x": [1.0]}), ("text", {"text": ["a"], "times": [1]})])
    return base


@pytest.fixture
def copied_version(base_path: Path, tmp_path: Path) -> Path:
    """A copy of the good version, for a test to damage. Its parent is a base path."""
    return Path(shutil.copytree(base_path / "123", tmp_path / "base" / "123"))


@pytest.fixture(scope="session")
def server(base_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The plain server: no batching, a short REST time limit."""
    log_file = tmp_path_factory.mktemp("log") / "server.log"
    running = Server(
        base_path,
        (f"--rest_api_timeout_in_ms={REST_TIMEOUT_MS}", "--enable_grpc_healthcheck_service"),
        log_file,
    ).start()
    try:
        yield running.wait_until_ready()
    finally:
        running.stop()


@pytest.fixture(scope="session")
def batching_server(base_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the batching parameters of our Deployment, and metrics."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "batching.pbtxt").write_text(BATCHING)
    (folder / "monitoring.pbtxt").write_text("prometheus_config { enable: true }")
    running = Server(
        base_path,
        (
            "--enable_batching=true",
            f"--batching_parameters_file={folder / 'batching.pbtxt'}",
            f"--monitoring_config_file={folder / 'monitoring.pbtxt'}",
            "--tensorflow_intra_op_parallelism=1",
            "--tensorflow_inter_op_parallelism=1",
        ),
        folder / "server.log",
    ).start()
    try:
        yield running.wait_until_ready()
    finally:
        running.stop()


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the test at the latest."""
    started: list[Server] = []

    def start(*args: object, **kwargs: object) -> Server:
        started.append(Server(*args, **kwargs).start())  # type: ignore[arg-type]
        return started[-1]

    yield start
    for running in started:
        running.stop()
