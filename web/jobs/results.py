"""Jobs that have ended, kept for a while: a caller whose connection was lost asks again."""

from __future__ import annotations

from collections.abc import Iterator

from web.jobs.job import Job, Owner

MAX_JOBS = 1000
MAX_BYTES = 256 * 2**20
MAX_REMEMBERED = 10_000
"""Ids of jobs that are kept no more."""
BYTES_OF_A_JOB = 10_000
"""About what it takes beside its pictures."""

Key = tuple[Owner, str]


class Results:
    """In the order in which they ended. keep_seconds: unless there are too many."""

    def __init__(self, keep_seconds: float) -> None:
        self._keep_seconds = keep_seconds
        self._kept: dict[Key, Job] = {}
        self._gone: dict[Key, None] = {}
        self._bytes = 0

    def add(self, job: Job, now: float) -> None:
        """After its end."""
        self._gone.pop(_key(job), None)
        self._kept[_key(job)] = job
        self._bytes += _size(job)
        self.expire(now)

    def remove(self, job: Job) -> None:
        """As if it had never been."""
        if self._kept.pop(_key(job), None) is not None:
            self._bytes -= _size(job)

    def next_expiry(self) -> float | None:
        """When the oldest becomes too old."""
        oldest = next(iter(self._kept.values()), None)
        return None if oldest is None else (oldest.ended or 0.0) + self._keep_seconds

    def expire(self, now: float) -> None:
        while self._kept:
            job = next(iter(self._kept.values()))
            is_old = now - (job.ended or 0.0) >= self._keep_seconds
            if not (is_old or len(self._kept) > MAX_JOBS or self._bytes > MAX_BYTES):
                return
            del self._kept[_key(job)]
            self._bytes -= _size(job)
            self._gone[_key(job)] = None
            if len(self._gone) > MAX_REMEMBERED:
                del self._gone[next(iter(self._gone))]

    def find(self, owner: Owner, job_id: str) -> Job | None:
        return self._kept.get((owner, job_id))

    def is_gone(self, owner: Owner, job_id: str) -> bool:
        return (owner, job_id) in self._gone

    def __iter__(self) -> Iterator[Job]:
        return iter(self._kept.values())


def _key(job: Job) -> Key:
    return job.owner, job.id


def _size(job: Job) -> int:
    """It does not change once the job has ended."""
    texts = sum(
        len(request.prompt) + len(request.negative_prompt) for request in job.asked.requests
    )
    return BYTES_OF_A_JOB + 4 * texts + sum(len(drawn.answer.png) for drawn in job.pictures)
