"""Counters and histograms in TF Serving's names, as Prometheus text.

Written by hand, since prometheus_client renames counters to `…_total`, and formats labels and
numbers differently from TF Serving.
"""

from __future__ import annotations

import contextlib
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from devserver import config_files
from devserver.errors import Code
from tfserving.config_files_pb2 import MonitoringConfig

DEFAULT_PATH = "/monitoring/prometheus/metrics"

LATENCY_BUCKETS_MICROS = tuple(10.0 * 1.8**i for i in range(33))
QUEUE_BUCKETS_MICROS = tuple(100.0 * 1.2**i for i in range(52))
BATCH_SIZE_BUCKETS = tuple(2.0**i for i in range(14))


class Counter:
    """A counter with labels."""

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        self.name = name
        self._labels = labels
        self._lock = threading.Lock()
        self._values: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str, by: int = 1) -> None:
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + by

    def lines(self) -> list[str]:
        with self._lock:
            values = dict(self._values)
        points = [
            f"{self.name}{{{_label_text(self._labels, key)}}} {value}"
            for key, value in values.items()
        ]
        return [f"# TYPE {self.name} counter", *points] if points else []


class Histogram:
    """A histogram with labels; the last bucket has no upper bound."""

    def __init__(self, name: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.name = name
        self._labels = labels
        self._bounds = bounds
        self._lock = threading.Lock()
        self._values: dict[tuple[str, ...], tuple[list[int], float]] = {}

    def add(self, value: float, *labels: str) -> None:
        with self._lock:
            counts, total = self._values.get(labels) or ([0] * (len(self._bounds) + 1), 0.0)
            counts[bisect_left(self._bounds, value)] += 1
            self._values[labels] = (counts, total + value)

    def lines(self) -> list[str]:
        with self._lock:
            values = {key: (list(counts), total) for key, (counts, total) in self._values.items()}
        result = [f"# TYPE {self.name} histogram"] if values else []
        for key, (counts, total) in values.items():
            labels = _label_text(self._labels, key)
            separator = "," if labels else ""
            cumulative = 0
            for bound, count in zip([*self._bounds, None], counts, strict=True):
                cumulative += count
                limit = "+Inf" if bound is None else f"{bound:g}"
                result.append(f'{self.name}_bucket{{{labels}{separator}le="{limit}"}} {cumulative}')
            result.append(f"{self.name}_sum{{{labels}}} {total:g}")
            result.append(f"{self.name}_count{{{labels}}} {cumulative}")
        return result


class Metrics:
    """This server's metrics. Times are given in seconds and exported in microseconds."""

    def __init__(self) -> None:
        serving, batching = ":tensorflow:serving:", ":tensorflow:serving:batching_session:"
        self._request_count = Counter(serving + "request_count", ("model_name", "status"))
        self._request_latency = Histogram(
            serving + "request_latency",
            ("model_name", "API", "entrypoint"),
            LATENCY_BUCKETS_MICROS,
        )
        self._runtime_latency = Histogram(
            serving + "runtime_latency", ("model_name", "API", "runtime"), LATENCY_BUCKETS_MICROS
        )
        self._warmup_latency = Histogram(
            serving + "model_warmup_latency", ("model_path", "status"), LATENCY_BUCKETS_MICROS
        )
        self._warmup_records = Counter(
            serving + "model_warmup_records_read", ("model_path", "status")
        )
        self._queuing_latency = Histogram(
            batching + "queuing_latency", ("thread_pool_name",), QUEUE_BUCKETS_MICROS
        )
        self._wrapped_run_count = Counter(batching + "wrapped_run_count", ())
        self._input_batch_size = Histogram(batching + "input_batch_size", (), BATCH_SIZE_BUCKETS)
        self._processed_batch_size = Histogram(
            batching + "processed_batch_size", (), BATCH_SIZE_BUCKETS
        )
        self._padding_size = Histogram(
            batching + "padding_size", ("execution_batch_size",), BATCH_SIZE_BUCKETS
        )
        self._graph_runs = Counter(":tensorflow:core:graph_runs", ())
        self._graph_run_time = Counter(":tensorflow:core:graph_run_time_usecs", ())
        self._all = (
            self._request_count,
            self._request_latency,
            self._runtime_latency,
            self._warmup_latency,
            self._warmup_records,
            self._queuing_latency,
            self._wrapped_run_count,
            self._input_batch_size,
            self._processed_batch_size,
            self._padding_size,
            self._graph_runs,
            self._graph_run_time,
        )

    def record_request(
        self, model: str, code: Code, seconds: float, api: str, entrypoint: str
    ) -> None:
        """Counts a request, and its latency if it succeeded, as in TF Serving."""
        self._request_count.add(model, code.name)
        if code is Code.OK:
            self._request_latency.add(seconds * 1e6, model, api, entrypoint)

    def record_run(self, model: str, seconds: float) -> None:
        """A request's successful run, time in the queue included."""
        self._runtime_latency.add(seconds * 1e6, model, "Predict", "TF1")

    def record_queue_wait(self, seconds: float) -> None:
        self._queuing_latency.add(seconds * 1e6, "")

    def record_input_batch(self, rows: Sequence[int]) -> None:
        """The rows of each input of a queued request."""
        for size in rows:
            self._input_batch_size.add(size)

    def record_warmup(self, model_path: str, seconds: float, records: int) -> None:
        self._warmup_latency.add(seconds * 1e6, model_path, Code.OK.name)
        self._warmup_records.add(model_path, Code.OK.name, by=records)

    @contextlib.contextmanager
    def execution(self, rows: int | None) -> Iterator[None]:
        """Counts an execution of the graph; `rows` is None without batching."""
        if rows is not None:
            self._processed_batch_size.add(rows)
            self._padding_size.add(0, str(rows))
        start = time.monotonic()
        try:
            yield
            self._graph_runs.add()
            self._graph_run_time.add(by=round((time.monotonic() - start) * 1e6))
        finally:
            if rows is not None:
                self._wrapped_run_count.add()

    def page(self) -> str:
        return "\n".join(line for metric in self._all for line in metric.lines()) + "\n"


def _label_text(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def monitoring_path(config_file: str) -> str | None:
    """The path of the metrics page from a MonitoringConfig file, or None if disabled.

    Raises:
        StartError: the file cannot be read.
    """
    if not config_file:
        return None
    message = MonitoringConfig()
    config_files.read("monitoring_config_file", config_file, message)
    config = message.prometheus_config
    return (config.path or DEFAULT_PATH) if config.enable else None
