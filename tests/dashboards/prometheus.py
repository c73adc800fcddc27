"""A real Prometheus over series that a test makes, for one question at a time."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from client.load.recording import Reading, openmetrics
from tests.processes import wait_until

START_LIMIT_SECONDS = 60.0
needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="prometheus and promtool are not on PATH (Debian: apt-get install prometheus)",
)


class Prometheus:
    """url: of its API."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=30)

    def ask(self, expression: str, seconds: float) -> dict[str, float]:
        """The values at that time, by the value of the one label that they have, or ""."""
        form = {"query": expression, "time": str(seconds)}
        answer = self._client.post("/api/v1/query", data=form).json()
        assert answer["status"] == "success", (answer, expression)
        found: dict[str, float] = {}
        for series in answer["data"]["result"]:
            labels = {k: v for k, v in series["metric"].items() if k != "__name__"}
            assert len(labels) <= 1, labels
            found["".join(labels.values())] = float(series["value"][1])
        return found

    def is_ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self._client.close()


def scraped(times: Iterable[float], text: bytes, **labels: str) -> Iterator[str]:
    """What scrapes of our own /metrics make that see the same page at these times."""
    series = [line.rpartition(" ")[0] for line in openmetrics([Reading(0, text.decode())], labels)]
    return (f"{each} {seconds:.3f}" for seconds in times for each in series)


def synthetic(
    name: str, values: Iterable[tuple[float, float]], labels: Mapping[str, str]
) -> Iterator[str]:
    """A series that only Google or Knative make: (seconds, value) each."""
    named = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return (f"{name}{{{named}}} {value} {seconds:.3f}" for seconds, value in values)


@contextmanager
def prometheus_over(lines: Iterable[str], folder: Path) -> Iterator[Prometheus]:
    """lines: of `scraped` and `synthetic`."""
    file, data = folder / "samples.txt", folder / "data"
    file.write_text("\n".join([*lines, "# EOF", ""]))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), str(data)]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "prometheus.yml").touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={data}",
                "--storage.tsdb.retention.time=100y",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    prometheus = Prometheus(f"http://{address}")
    try:
        wait_until(prometheus.is_ready, "Prometheus to be ready", START_LIMIT_SECONDS)
        yield prometheus
    finally:
        prometheus.close()
        process.terminate()
        process.wait(START_LIMIT_SECONDS)
