"""A server's metrics: TF Serving's Prometheus text, reduced to a few figures."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from model_export.spec import METRICS_PATH
from prediction.endpoints import is_grpc, normalize_endpoint
from prediction.errors import ClientError, one_line
from prediction.failures import Failures

if TYPE_CHECKING:
    from prometheus_client.samples import Sample

TIMEOUT_SECONDS = 5.0
MICROS = 1e-6

_COUNT = ":tensorflow:serving:request_count"
_REQUESTS = ":tensorflow:serving:request_latency"
_RUNS = ":tensorflow:serving:runtime_latency"
_QUEUE = ":tensorflow:serving:batching_session:queuing_latency"


class NoMetricsError(Exception):
    """The server's metrics are unavailable. The message is one line that says why."""


@dataclass(frozen=True)
class Histogram:
    """The number of values, their sum, and how many are at most each upper bound."""

    count: int = 0
    total: float = 0.0
    buckets: tuple[tuple[float, int], ...] = ()

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    def percentile(self, percentage: float) -> float | None:
        """Interpolated linearly within a bucket, as in Prometheus."""
        if not self.count:
            return None
        wanted = percentage / 100 * self.count
        for (lower, below), (upper, up_to) in pairwise(((0.0, 0), *self.buckets)):
            if up_to >= wanted and up_to > below:
                if math.isinf(upper):
                    return lower
                return lower + (upper - lower) * (wanted - below) / (up_to - below)
        return None


@dataclass(frozen=True)
class ServerFigures:
    """One server's figures for one model since it started. Times are seconds.

    answers: predictions and status requests by status, such as OK and UNAVAILABLE. requests: the
    pictures' time in the server, queue included. runs: the model's time, queue included. waits:
    the time in the queue.
    """

    answers: dict[str, int]
    requests: Histogram
    runs: Histogram
    waits: Histogram


@dataclass
class Series:
    """A histogram that is read, sample by sample; those with other labels are added up."""

    buckets: dict[float, int] = field(default_factory=dict[float, int])
    total: float = 0.0

    def add(
        self, part: str, labels: Mapping[str, str], value: float, unit_seconds: float = 1.0
    ) -> None:
        """part: what its name ends with. Raises ValueError."""
        if part == "sum":
            self.total += value * unit_seconds
        elif part == "bucket":
            bound = float(labels.get("le", "")) * unit_seconds
            self.buckets[bound] = self.buckets.get(bound, 0) + int(value)

    def histogram(self) -> Histogram:
        buckets = tuple(sorted(self.buckets.items()))
        return Histogram(buckets[-1][1] if buckets else 0, self.total, buckets)


def fetch(endpoint: str, model_name: str) -> ServerFigures:
    """The figures of the model server at a REST endpoint. Raises NoMetricsError."""
    without = "the server runs without --monitoring_config_file"
    return fetched(endpoint, METRICS_PATH, lambda page: read(page, model_name), without)


_Figures = TypeVar("_Figures")


def fetched(
    endpoint: str, path: str, figures_in: Callable[[str], _Figures], without: str
) -> _Figures:
    """The figures in a server's page of metrics; without: why there may be none."""
    try:
        endpoint = normalize_endpoint(endpoint)
        if is_grpc(endpoint):
            raise NoMetricsError("a gRPC port has none: give the address of the REST port")
        # requests takes 0.2 s to import.
        from client.transports.http_connections import HttpConnections

        with closing(HttpConnections(endpoint, Failures(endpoint, ""))) as server:
            reply = server.exchange("GET", path, TIMEOUT_SECONDS)
    except ClientError as error:
        raise NoMetricsError(str(error)) from None
    if reply.status != HTTPStatus.OK:
        raise NoMetricsError(f"{endpoint}{path} answers with HTTP {reply.status}: {without}")
    try:
        return figures_in(reply.content.decode(errors="replace"))
    except ValueError as error:
        raise NoMetricsError(f"{endpoint}{path} is not Prometheus text: {error}") from None


def read(page: str, model_name: str) -> ServerFigures:
    """The figures for `model_name` in a page of metrics. Raises ValueError."""
    answers: dict[str, int] = {}
    series: dict[str, Series] = defaultdict(Series)
    for sample in samples(page):
        name, labels, value = sample.name, sample.labels, sample.value
        if labels.get("model_name", model_name) != model_name:
            continue
        if name == _COUNT:
            status = one_line(labels.get("status", ""))
            answers[status] = answers.get(status, 0) + int(value)
            continue
        base, _, part = name.rpartition("_")
        # REST requests other than predictions have an empty API.
        if labels.get("API") == "" or base not in (_REQUESTS, _RUNS, _QUEUE):
            continue
        series[base].add(part, labels, value, unit_seconds=MICROS)
    return ServerFigures(
        answers, *(series[base].histogram() for base in (_REQUESTS, _RUNS, _QUEUE))
    )


def samples(page: str) -> Iterator[Sample]:
    """The finite values of a page.

    Each line is parsed alone: below its TYPE, the parser renames a counter to `…_total`.
    """
    # A tenth of a second to import, and only `status` needs it.
    from prometheus_client.parser import text_string_to_metric_families

    for line in page.split("\n"):
        if line.lstrip().startswith("#"):
            continue
        try:
            for family in text_string_to_metric_families(line):
                yield from (sample for sample in family.samples if math.isfinite(sample.value))
        # The latter two escape the parser for a label without a name and for hundreds of digits.
        except (ValueError, IndexError, OverflowError):
            raise ValueError(one_line(line)) from None
