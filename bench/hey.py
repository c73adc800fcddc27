"""The load tester `hey`: a run of it against a web service, and what its report says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

PROGRAM = "hey"
MISSING = f"the load tester `{PROGRAM}` is not on PATH (github.com/rakyll/hey)"

_PERCENTILE = re.compile(r"^\s+(\d+)% in ([\d.]+) secs$", re.MULTILINE)
_STATUS = re.compile(r"^\s+\[(\d{3})\]\s+(\d+) responses$", re.MULTILINE)
_ERROR = re.compile(r"^\s+\[(\d+)\]\s+(.+)$", re.MULTILINE)
_ERRORS = "Error distribution:"


class HeyError(Exception):
    """`hey` did not run, or did not report."""


@dataclass(frozen=True)
class Report:
    """Seconds are of requests that were answered, with whatever status; `total` is of the run.

    percentiles: those that it could tell. errors: requests without an answer, by message; they are
    in none of the other figures but `total_seconds` and `requests_per_second`.
    """

    total_seconds: float
    requests_per_second: float
    fastest_seconds: float
    average_seconds: float
    slowest_seconds: float
    percentiles: Mapping[int, float]
    statuses: Mapping[int, int]
    errors: Mapping[str, int]

    def of_all(self, status: int) -> str:
        """How many of all requests were answered with it, in words."""
        sent = sum(self.statuses.values()) + sum(self.errors.values())
        return f"{self.statuses.get(status, 0)} of {sent}"


def command(
    url: str, body: object, requests: int, at_once: int, timeout_seconds: int = 180
) -> list[str]:
    """Its command line for JSON by POST."""
    return [
        *(PROGRAM, "-n", str(requests), "-c", str(at_once), "-t", str(timeout_seconds)),
        *("-m", "POST", "-T", "application/json", "-d", json.dumps(body), url),
    ]


def run(url: str, body: object, requests: int, at_once: int, timeout_seconds: int = 180) -> Report:
    """Each of `at_once` callers sends its next request when the last one was answered.

    Raises HeyError.
    """
    if shutil.which(PROGRAM) is None:
        raise HeyError(MISSING)
    line = command(url, body, requests, at_once, timeout_seconds)
    ended = subprocess.run(line, capture_output=True, encoding="utf-8", check=False)
    if ended.returncode != 0:
        raise HeyError((ended.stderr or ended.stdout).strip().partition("\n")[0])
    return parse(ended.stdout)


def parse(text: str) -> Report:
    """Raises HeyError."""
    answered, _, unanswered = text.partition(_ERRORS)
    return Report(
        total_seconds=_figure(answered, "Total"),
        requests_per_second=_figure(answered, "Requests/sec"),
        fastest_seconds=_figure(answered, "Fastest"),
        average_seconds=_figure(answered, "Average"),
        slowest_seconds=_figure(answered, "Slowest"),
        # What it could not tell from so few requests, it prints as "0% in 0.0000 secs".
        percentiles={
            int(percent): float(seconds)
            for percent, seconds in _PERCENTILE.findall(answered)
            if int(percent) > 0
        },
        statuses={int(status): int(count) for status, count in _STATUS.findall(answered)},
        errors={message: int(count) for count, message in _ERROR.findall(unanswered)},
    )


def _figure(text: str, name: str) -> float:
    found = re.search(rf"^\s+{name}:\s+([\d.]+|NaN)", text, re.MULTILINE)
    if found is None:
        raise HeyError(f"the report of `{PROGRAM}` has no line {name!r}: is this its output?")
    return float(found[1])
