"""The web service's metrics, reduced to a few figures."""

from __future__ import annotations

from collections import defaultdict

from client.transports.metrics import Series, ServerFigures, fetched, samples
from prediction.errors import one_line

PATH = "/metrics"

_JOBS = "web_jobs_total"
_REJECTED = "web_rejected_total"
_WHOLE = "web_job_seconds"
_DRAWING = "web_job_drawing_seconds"
_WAITING = "web_job_waiting_seconds"
_FULL = "queue_full"


def fetch(endpoint: str) -> ServerFigures:
    """The figures at the address of the metrics' own port. Raises NoMetricsError."""
    return fetched(endpoint, PATH, read, "another program listens there")


def page(endpoint: str) -> str:
    """All of it, as text. Raises NoMetricsError."""
    return fetched(endpoint, PATH, str, "another program listens there")


def read(page: str) -> ServerFigures:
    """The figures in a page of metrics, over all APIs. Raises ValueError.

    answers: jobs by how they ended, and requests that a full queue refused. requests: the jobs'
    whole time, runs: without the queue, waits: in the queue.
    """
    answers: dict[str, int] = defaultdict(int)
    series: dict[str, Series] = defaultdict(Series)
    for sample in samples(page):
        name, labels, value = sample.name, sample.labels, sample.value
        if name == _JOBS:
            answers[one_line(labels.get("outcome", ""))] += int(value)
        elif name == _REJECTED and labels.get("reason") == _FULL:
            answers[_FULL] += int(value)
        base, _, part = name.rpartition("_")
        if base in (_WHOLE, _DRAWING, _WAITING):
            series[base].add(part, labels, value)
    return ServerFigures(
        {name: count for name, count in answers.items() if count},
        *(series[base].histogram() for base in (_WHOLE, _DRAWING, _WAITING)),
    )
