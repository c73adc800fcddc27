"""The results of a load test: as text in the format of `hey`, as JSON, and as CSV."""

from __future__ import annotations

import csv
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from client.errors import PictureFileError
from client.load.run import Outcome, Result

PERCENTAGES = (10, 25, 50, 75, 90, 95, 99)
HISTOGRAM_STEPS = 10
BAR_CHARACTERS = 40
CSV_COLUMNS = (
    "number",
    "endpoint",
    "scheduled_seconds",
    "sent_seconds",
    "finished_seconds",
    "latency_seconds",
    "status",
    "retries",
    "error",
    "seed",
    "prompt",
    "retry_finished_seconds",
    "retry_status",
    "retry_error",
)


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


def as_text(summary: Summary) -> str:
    """The report as text, with the sections that `hey` prints."""
    sections = [_head(summary)]
    if summary.percentiles:
        sections.append(_histogram_lines(summary.histogram))
        distribution = [f"  {p}% in {s:.4f} secs" for p, s in summary.percentiles.items()]
        sections.append(["Latency distribution:", *distribution])
    if summary.statuses:
        lines = [f"  [{code}]\t{count} responses" for code, count in summary.statuses.items()]
        sections.append(["Status code distribution:", *lines])
    if len(summary.endpoints) > 1:
        lines = [f"  [{count}]\t{name}" for name, count in sorted(summary.endpoints.items())]
        sections.append(["Server distribution:", *lines])
    if summary.errors:
        lines = [f"  [{count}]\t{error}" for error, count in summary.errors.items()]
        sections.append(["Error distribution:", *lines])
    if summary.retry_statuses:
        lines = [f"  [{code}]\t{count} responses" for code, count in summary.retry_statuses.items()]
        sections.append(["Status code distribution after retries:", *lines])
    if summary.retry_errors:
        lines = [f"  [{count}]\t{error}" for error, count in summary.retry_errors.items()]
        sections.append(["Error distribution after retries:", *lines])
    return "\n\n".join("\n".join(lines) for lines in sections)


def as_document(summary: Summary, outcome: Outcome) -> dict[str, Any]:
    """The report as a JSON document, with every request."""
    return {
        "summary": asdict(summary),
        "requests": [dict(zip(CSV_COLUMNS, _row(r), strict=True)) for r in outcome.results],
    }


def write_csv(path: Path, outcome: Outcome) -> None:
    """Write a header, and a row for each request sent."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(CSV_COLUMNS)
            writer.writerows(_row(result) for result in outcome.results)
    except OSError as error:
        raise PictureFileError(f"cannot write {path}: {error.strerror}") from error


def _head(summary: Summary) -> list[str]:
    times = (
        ("Slowest", summary.slowest_seconds),
        ("Fastest", summary.fastest_seconds),
        ("Average", summary.average_seconds),
    )
    lines = [
        f"Summary: {summary.plan}",
        f"  Total:\t{summary.seconds:.4f} secs",
        *(f"  {name}:\t{value:.4f} secs" for name, value in times if value is not None),
        f"  Requests/sec:\t{summary.requests_per_second:.4f}",
        f"  Pictures/sec:\t{summary.pictures_per_second:.4f}",
        f"  Success:\t{summary.pictures} of {summary.sent} sent "
        f"({100 * summary.success_rate:.1f} %)",
    ]
    if summary.sent < summary.planned:
        lines.append(f"  Not sent:\t{summary.planned - summary.sent}")
    if summary.unfinished:
        lines.append(f"  Unfinished:\t{summary.unfinished} in flight")
    if summary.retries:
        slowest = summary.slowest_retried_seconds
        after = "" if slowest is None else f", the slowest after {slowest:.4f} secs"
        lines.append(
            f"  Retries:\t{summary.retries}, in {summary.retried} requests: "
            f"{summary.retried_pictures} pictures{after}"
        )
    if summary.late:
        lines.append(
            f"  Sent late:\t{summary.late}, by up to {summary.most_late_seconds:.2f} secs "
            "(included in their latency)"
        )
    return lines


def _histogram_lines(marks: Sequence[tuple[float, int]]) -> list[str]:
    most = max(count for _, count in marks)
    lines = ["Response time histogram:"]
    for mark, count in marks:
        bar = "■" * round(count / most * BAR_CHARACTERS)
        lines.append(f"  {mark:.3f} [{count}]\t|{bar}")
    return lines


def _counted(values: Any) -> dict[str, int]:
    return dict(Counter[str](values).most_common())


def _row(result: Result) -> tuple[object, ...]:
    return (
        result.number,
        result.endpoint,
        result.scheduled,
        result.sent,
        result.finished,
        result.latency_seconds,
        result.status,
        result.retries,
        result.error,
        result.seed,
        result.prompt,
        result.retry_finished,
        result.retry_status,
        result.retry_error,
    )
