"""What is kept of ended jobs is bounded in time, number and bytes."""

from __future__ import annotations

import pytest

from prediction.answer import Answer
from tests.web.jobs.fake_server import asked
from web.jobs import results
from web.jobs.job import Drawn, Job, JobState
from web.jobs.results import Results


def _ended(number: int, *, ended: float = 0.0, png_bytes: int = 100) -> Job:
    job = Job(f"job-{number}", asked(), deadline=0.0, state=JobState.DONE, ended=ended)
    answer = Answer(b"x" * png_bytes, 1, 4, 3, False, "stub-1")
    job.pictures.append(Drawn(answer, job.asked.requests[0], 1.0))
    return job


def test_the_oldest_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MAX_JOBS", 10)
    kept = Results(60)
    for number in range(15):
        kept.add(_ended(number), now=0.0)
    assert [job.id for job in kept] == [f"job-{number}" for number in range(5, 15)]
    assert kept.is_gone("", "job-4")
    assert kept.find("", "job-5") is not None


def test_the_oldest_go_when_they_are_too_big(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MAX_BYTES", 1_000_000)
    kept = Results(60)
    for number in range(100):
        kept.add(_ended(number, png_bytes=90_000), now=0.0)
        assert len(list(kept)) <= 10
    assert kept.find("", "job-99") is not None
    for number in range(100, 200):
        kept.add(_ended(number, png_bytes=1), now=0.0)
    assert len(list(kept)) > 90


def test_a_job_that_alone_is_too_big_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MAX_BYTES", 1_000_000)
    kept = Results(60)
    kept.add(_ended(0, png_bytes=2_000_000), now=0.0)
    assert kept.is_gone("", "job-0")


def test_the_ids_of_gone_jobs_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MAX_REMEMBERED", 10)
    kept = Results(60)
    for number in range(20):
        kept.add(_ended(number, ended=number), now=number)
    kept.expire(1000.0)
    assert [number for number in range(20) if kept.is_gone("", f"job-{number}")] == [*range(10, 20)]


def test_only_old_ones_expire() -> None:
    kept = Results(60)
    kept.add(_ended(0, ended=0.0), now=0.0)
    kept.add(_ended(1, ended=30.0), now=30.0)
    assert kept.next_expiry() == 60.0
    kept.expire(60.0)
    assert [job.id for job in kept] == ["job-1"]
    assert kept.next_expiry() == 90.0
    kept.expire(90.0)
    assert kept.next_expiry() is None
