"""What the web service counted during a run, for Prometheus to load and a dashboard to show."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from client.errors import PictureFileError
from client.load.observer import Observer
from client.transports.metrics import NoMetricsError, samples
from prediction.errors import one_line

READ_SECONDS = 1.0
SAMPLES_FILE, DATA_FOLDER = "samples.txt", "data"
_JOB = "diffusion-serving"
_END = "# EOF"


@dataclass(frozen=True)
class Reading:
    """A page of metrics at a time, in seconds since the epoch."""

    seconds: float
    page: str


class Recorder(Observer):
    """Reads the page every second while open, at its begin and at its end.

    fetch: raises NoMetricsError.
    """

    def __init__(self, fetch: Callable[[], str], read_seconds: float = READ_SECONDS) -> None:
        super().__init__("recording")
        self._fetch = fetch
        self._read_seconds = read_seconds
        self.readings: list[Reading] = []

    def _observe(self) -> None:
        while True:
            is_last = self._closing.is_set()
            try:
                self.readings.append(Reading(time.time(), self._fetch()))
            except NoMetricsError as error:
                self.problem = str(error)
                return
            if is_last:
                return
            self._closing.wait(self._read_seconds)


def openmetrics(readings: Iterable[Reading], labels: Mapping[str, str]) -> Iterator[str]:
    """The readings' samples with their times, a line each, without the end. labels: added to each.

    Raises ValueError if a page is not Prometheus text.
    """
    for reading in readings:
        for sample in samples(reading.page):
            named = ",".join(
                f'{name}="{_escaped(value)}"'
                for name, value in sorted({**sample.labels, **labels}.items())
            )
            yield f"{sample.name}{{{named}}} {sample.value!r} {reading.seconds:.3f}"


def write(readings: Iterable[Reading], folder: Path) -> str:
    """Write the samples, and Prometheus's own files if its promtool is on PATH. Returns a line that
    says how to look at them. Raises PictureFileError if they cannot be written."""
    file, data = folder / SAMPLES_FILE, folder / DATA_FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lines = openmetrics(readings, {"job": _JOB})
        file.write_text("\n".join([*lines, _END, ""]), encoding="utf-8")
    except (OSError, ValueError) as error:
        raise PictureFileError(f"cannot record the metrics in {folder}: {error}") from error
    make = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), str(data)]
    look = f"prometheus --config.file=/dev/null --storage.tsdb.path={data}"
    if shutil.which(make[0]) is None:
        return f"{file}; with Prometheus installed: {' '.join(make)}; {look}"
    shutil.rmtree(data, ignore_errors=True)
    made = subprocess.run(
        make, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if made.returncode != 0:
        raise PictureFileError(f"promtool does not take {file}: {one_line(made.stderr)[:300]}")
    return f"{folder}; look at it with: {look}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
