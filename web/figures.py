"""What the service did in the last hour, in memory, for the page: counts and durations.

It is told of the same events as the metrics. No prompt, key or address of a caller is in it.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

MIN_MINUTES, MAX_MINUTES = 5, 60
BUCKET_SECONDS = (5, 15, 60)
"""Of those that are read: the shortest of which there are no more than `MAX_READ_BUCKETS`."""
MAX_READ_BUCKETS = 60
KEPT_SECONDS = BUCKET_SECONDS[0]
"""Of those that are kept."""
MAX_KEPT_BUCKETS = MAX_MINUTES * 60 // KEPT_SECONDS
MAX_KEPT_JOBS = 5_000
"""Whose durations are kept: 1.4 a second for an hour."""
SET_BACK_SECONDS = 60
"""A clock that is put back by more than this makes the times of what is kept worthless."""

DRAWING_PATHS = frozenset(
    {"/api/v1/jobs", "/v1/images/generations", "/sdapi/v1/txt2img", "/worker/v1/draw"}
)
"""A POST to one of these asks for pictures. Only such requests are counted: clients that ask for
progress every second would hide them."""


@dataclass(frozen=True)
class Percentiles:
    """By nearest rank: p95 is the least of the values that 95 % of them do not exceed."""

    count: int
    p50: float
    p90: float
    p95: float
    p99: float


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """None without values."""
    if not values:
        return None
    ordered, count = sorted(values), len(values)

    def at(percent: int) -> float:
        return ordered[-(-percent * count // 100) - 1]

    return Percentiles(count, at(50), at(90), at(95), at(99))


@dataclass(slots=True)
class Bucket:
    """What happened within some seconds. requests: by "2xx" and so on. jobs: those that ended, by
    outcome. queued, drawing: the highest that was seen."""

    requests: Counter[str] = field(default_factory=Counter[str])
    jobs: Counter[str] = field(default_factory=Counter[str])
    pictures: int = 0
    queued: int = 0
    drawing: int = 0

    def add(self, other: Bucket) -> None:
        self.requests += other.requests
        self.jobs += other.jobs
        self.pictures += other.pictures
        self.see(other.queued, other.drawing)

    def see(self, queued: int, drawing: int) -> None:
        self.queued = max(self.queued, queued)
        self.drawing = max(self.drawing, drawing)


class Durations(NamedTuple):
    """Of a job that ended, in seconds. drawing: None if it never began."""

    waiting: float
    drawing: float | None
    whole: float


@dataclass(frozen=True)
class ReadBucket:
    """start: seconds since the epoch. whole: of the jobs that ended in it."""

    start: int
    counts: Bucket
    whole: Percentiles | None


@dataclass(frozen=True)
class Reading:
    """The last minutes. The buckets are the oldest first; the last one is not over yet."""

    now: float
    bucket_seconds: int
    buckets: Sequence[ReadBucket]
    waiting: Percentiles | None
    drawing: Percentiles | None
    whole: Percentiles | None


class Figures:
    """Used in the service's event loop only. clock: seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._kept: deque[tuple[int, Bucket]] = deque(maxlen=MAX_KEPT_BUCKETS)
        """Each with its number since the epoch; empty ones may be left out."""
        self._durations: deque[tuple[int, Durations]] = deque(maxlen=MAX_KEPT_JOBS)

    def request_answered(self, status: int) -> None:
        """One that asked for pictures."""
        self._current().requests[f"{status // 100}xx"] += 1

    def job_ended(self, outcome: str, durations: Durations) -> None:
        self._current().jobs[outcome] += 1
        self._durations.append((self._kept[-1][0], durations))

    def picture_drawn(self) -> None:
        self._current().pictures += 1

    def load_seen(self, queued: int, drawing: int) -> None:
        self._current().see(queued, drawing)

    def read(self, minutes: int) -> Reading:
        """minutes: `MIN_MINUTES` to `MAX_MINUTES`."""
        self._current()
        seconds = next(each for each in BUCKET_SECONDS if minutes * 60 <= each * MAX_READ_BUCKETS)
        merged = seconds // KEPT_SECONDS
        last = self._kept[-1][0] // merged
        buckets = {last - ago: Bucket() for ago in reversed(range(minutes * 60 // seconds))}
        for number, bucket in self._kept:
            if (into := buckets.get(number // merged)) is not None:
                into.add(bucket)
        durations: defaultdict[int, list[Durations]] = defaultdict(list)
        for number, each in self._durations:
            if number // merged in buckets:
                durations[number // merged].append(each)
        every = [each for some in durations.values() for each in some]
        return Reading(
            now=self._clock(),
            bucket_seconds=seconds,
            buckets=[
                ReadBucket(
                    start=number * seconds,
                    counts=bucket,
                    whole=percentiles([each.whole for each in durations[number]]),
                )
                for number, bucket in buckets.items()
            ],
            waiting=percentiles([each.waiting for each in every]),
            drawing=percentiles([each.drawing for each in every if each.drawing is not None]),
            whole=percentiles([each.whole for each in every]),
        )

    def _current(self) -> Bucket:
        number = int(self._clock() // KEPT_SECONDS)
        if self._kept and number < self._kept[-1][0] - SET_BACK_SECONDS // KEPT_SECONDS:
            self._kept.clear()
            self._durations.clear()
        if not self._kept or number > self._kept[-1][0]:
            self._kept.append((number, Bucket()))
        return self._kept[-1][1]
