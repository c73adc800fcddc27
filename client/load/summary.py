"""The results of a load test in figures."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from client.load.run import Outcome

PERCENTAGES = (10, 25, 50, 75, 90, 95, 99)
HISTOGRAM_STEPS = 10


@dataclass(frozen=True)
class Summary:
    """A run in figures. First answers count: latencies are those of the pictures among them, and
    everything else counts all requests. What retries add has figures of its own.

    unfinished: requests in flight when the run was interrupted. late: requests sent later than
    planned. percentiles and histogram are empty, and the three latencies None, if no request
    succeeded.
    """

    plan: str
    planned: int
    sent: int
    pictures: int
    failed: int
    unfinished: int
    success_rate: float
    seconds: float
    requests_per_second: float
    pictures_per_second: float
    slowest_seconds: float | None
    fastest_seconds: float | None
    average_seconds: float | None
    percentiles: dict[int, float]
    histogram: tuple[tuple[float, int], ...]
    statuses: dict[str, int]
    errors: dict[str, int]
    endpoints: dict[str, int]
    retries: int
    retried: int
    retried_pictures: int
    slowest_retried_seconds: float | None
    retry_statuses: dict[str, int]
    retry_errors: dict[str, int]
    late: int
    most_late_seconds: float


LATE_SECONDS = 0.1
"""A thread may wake up slightly late; beyond this, the client was short of threads or CPU."""


def summarize(outcome: Outcome) -> Summary:
    """The figures of a run."""
    results = outcome.results
    pictures = [result for result in results if result.succeeded]
    latencies = sorted(r.latency_seconds for r in pictures if r.latency_seconds is not None)
    finished = sum(result.finished is not None for result in results)
    later = [
        result.retry_finished - result.latency_from
        for result in results
        if result.retry_finished is not None and result.succeeded_later
    ]
    delays = [r.sent - r.scheduled for r in results if outcome.plan.from_schedule]
    return Summary(
        plan=outcome.plan.description,
        planned=len(outcome.plan.jobs),
        sent=len(results),
        pictures=len(pictures),
        failed=sum(bool(result.error) for result in results),
        unfinished=len(results) - finished,
        success_rate=len(pictures) / len(results) if results else 0.0,
        seconds=outcome.seconds,
        requests_per_second=finished / outcome.seconds,
        pictures_per_second=len(pictures) / outcome.seconds,
        slowest_seconds=latencies[-1] if latencies else None,
        fastest_seconds=latencies[0] if latencies else None,
        average_seconds=sum(latencies) / len(latencies) if latencies else None,
        percentiles={p: percentile(latencies, p) for p in PERCENTAGES} if latencies else {},
        histogram=histogram(latencies),
        statuses=_counted(result.status for result in results if result.status),
        errors=_counted(result.error for result in results if result.error),
        endpoints=_counted(result.endpoint for result in results if result.endpoint),
        retries=sum(result.retries for result in results),
        retried=sum(result.retries > 0 for result in results),
        retried_pictures=len(later),
        slowest_retried_seconds=max(later, default=None),
        retry_statuses=_counted(result.retry_status for result in results if result.retry_status),
        retry_errors=_counted(result.retry_error for result in results if result.retry_error),
        late=sum(delay > LATE_SECONDS for delay in delays),
        most_late_seconds=max(delays, default=0.0),
    )


def percentile(ordered: Sequence[float], percentage: float) -> float:
    """The smallest of the values that at least `percentage` percent do not exceed (nearest rank).

    It is a value that occurred: the 99th percentile of 50 values is the slowest one.
    """
    return ordered[max(math.ceil(percentage / 100 * len(ordered)), 1) - 1]


def histogram(ordered: Sequence[float]) -> tuple[tuple[float, int], ...]:
    """Marks from the fastest to the slowest in equal steps, and how many values lie up to each
    mark and above the one before.
    """
    if not ordered:
        return ()
    step = (ordered[-1] - ordered[0]) / HISTOGRAM_STEPS
    marks = [ordered[0] + step * i for i in range(HISTOGRAM_STEPS)] + [ordered[-1]]
    counts = [0] * len(marks)
    for value in ordered:
        counts[bisect_left(marks, value)] += 1
    return tuple(zip(marks, counts, strict=True))


def _counted(values: Any) -> dict[str, int]:
    return dict(Counter[str](values).most_common())
