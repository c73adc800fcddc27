"""The report of a load test: as text in the format of `hey`, as JSON, and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from client.errors import PictureFileError
from client.load.run import Outcome, Result
from client.load.summary import Summary

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
