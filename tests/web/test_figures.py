"""The figures of the last hour are those of the metrics, and stay small."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc
from datetime import datetime
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel

from tests.web.in_process import InProcess, check_in_process
from tests.web.stub_model_server import Behaviour
from web.figures import (
    BUCKET_SECONDS,
    KEPT_SECONDS,
    MAX_KEPT_JOBS,
    MAX_MINUTES,
    MAX_READ_BUCKETS,
    Bucket,
    Durations,
    Figures,
    Percentiles,
    percentiles,
)
from web.metrics import OUTCOMES

PATH = "/api/v1/figures"
TXT2IMG = "/sdapi/v1/txt2img"
GENERATIONS = "/v1/images/generations"
START = 1_800_000_000.0
MEGABYTE = 2**20


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=300))
def test_percentiles_are_numpys_by_nearest_rank(values: list[float]) -> None:
    wanted = np.percentile(values, [50, 90, 95, 99], method="inverted_cdf")
    assert percentiles(values) == Percentiles(len(values), *wanted)


def test_of_no_value_there_are_no_percentiles() -> None:
    assert percentiles([]) is None


def test_an_event_is_in_the_bucket_of_its_time() -> None:
    clock = Clock()
    figures = Figures(clock)
    for seconds, status in ((0, 200), (4, 503), (70, 404)):
        clock.now = START + seconds
        figures.request_answered(status)
    clock.now = START + 4 * 60
    buckets = {bucket.start: bucket.counts.requests for bucket in figures.read(5).buckets}
    assert {start: dict(found) for start, found in buckets.items() if found} == {
        START: {"2xx": 1, "5xx": 1},
        START + 70: {"4xx": 1},
    }


def test_what_is_older_than_the_window_is_left_out() -> None:
    clock = Clock()
    figures = Figures(clock)
    figures.picture_drawn()
    figures.job_ended("ok", Durations(1, 2, 3))
    clock.now += 10 * 60
    figures.job_ended("ok", Durations(2, 3, 5))
    short, long = figures.read(5), figures.read(15)
    assert short.whole == Percentiles(1, 5, 5, 5, 5)
    assert long.whole == Percentiles(2, 3, 5, 5, 5)
    assert [sum(bucket.counts.pictures for bucket in each.buckets) for each in (short, long)] == [
        0,
        1,
    ]


@pytest.mark.parametrize("minutes", range(5, 61))
def test_the_buckets_cover_the_window_without_a_gap(minutes: int) -> None:
    clock = Clock()
    clock.now += 59
    reading = Figures(clock).read(minutes)
    starts = [bucket.start for bucket in reading.buckets]
    assert reading.bucket_seconds in BUCKET_SECONDS
    assert len(starts) * reading.bucket_seconds == minutes * 60
    assert len(starts) <= MAX_READ_BUCKETS
    assert {later - start for start, later in itertools.pairwise(starts)} == {
        reading.bucket_seconds
    }
    assert starts[-1] <= reading.now < starts[-1] + reading.bucket_seconds


def test_a_bucket_has_the_highest_load_of_those_it_is_made_of() -> None:
    clock = Clock()
    figures = Figures(clock)
    for seconds, load in ((0, (1, 1)), (10, (7, 1)), (20, (0, 2)), (30, (0, 0))):
        clock.now = START + seconds
        figures.load_seen(*load)
    last = figures.read(60).buckets[-1].counts
    assert (last.queued, last.drawing) == (7, 2)


def test_percentiles_of_a_bucket_are_those_of_its_own_jobs() -> None:
    clock = Clock()
    figures = Figures(clock)
    figures.job_ended("ok", Durations(1, 2, 3))
    clock.now += 60
    figures.job_ended("timeout", Durations(9, None, 9))
    reading = figures.read(60)
    assert [bucket.whole and bucket.whole.p50 for bucket in reading.buckets[-3:]] == [None, 3, 9]
    assert reading.drawing == Percentiles(1, 2, 2, 2, 2)
    assert reading.waiting == Percentiles(2, 1, 9, 9, 9)


def test_a_clock_that_is_put_back_starts_the_history_anew() -> None:
    clock = Clock()
    figures = Figures(clock)
    figures.picture_drawn()
    clock.now -= 1
    figures.picture_drawn()
    assert figures.read(60).buckets[-1].counts.pictures == 2
    clock.now -= 3600
    assert [bucket.counts for bucket in figures.read(60).buckets] == [Bucket()] * 60


def test_memory_is_bounded_whatever_happens() -> None:
    clock = Clock()
    figures = Figures(clock)
    tracemalloc.start()
    try:
        for _ in range(3 * MAX_MINUTES * 60 // KEPT_SECONDS):
            clock.now += KEPT_SECONDS
            for outcome in OUTCOMES:
                figures.job_ended(outcome, Durations(clock.now, clock.now + 1, clock.now + 2))
            for status in (200, 302, 400, 500):
                figures.request_answered(status)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 2 * MEGABYTE


def test_the_jobs_whose_durations_are_kept_are_bounded() -> None:
    figures = Figures(Clock())
    for number in range(MAX_KEPT_JOBS + 10):
        figures.job_ended("ok", Durations(0, number, number))
    whole, bucket = figures.read(5).whole, figures.read(5).buckets[-1].counts
    assert whole is not None
    assert whole.count == MAX_KEPT_JOBS
    assert bucket.jobs["ok"] == MAX_KEPT_JOBS + 10


def _total(buckets: list[dict[str, Any]], name: str) -> dict[str, int]:
    return {key: sum(bucket[name][key] for bucket in buckets) for key in buckets[0][name]}


def test_figures_are_those_of_the_metrics_after_a_mixed_load_of_all_apis() -> None:
    async def check(run: InProcess) -> None:
        await run.post(TXT2IMG, prompt="a", batch_size=2, steps=2)
        await run.post("/api/v1/jobs", prompt="a", steps=1000)
        await run.client.post(GENERATIONS, content="{", headers={"content-type": "text/plain"})
        await run.post("/api/v1/jobs", prompt="a", id="stopped", steps=50)
        await run.post("/api/v1/jobs", prompt="a", id="waits", steps=1)
        await run.post(GENERATIONS, prompt="too many")
        await run.client.delete("/api/v1/jobs/waits")
        await run.client.delete("/api/v1/jobs/stopped")
        await run.until(lambda: run.service.queue.drawing == 0)
        run.stub.behaviour.fails = {"begin": grpc.StatusCode.INTERNAL}
        await run.post(GENERATIONS, prompt="a")
        samples = run.samples()
        found = (await run.get(PATH)).json()

        def metric(name: str, **labels: str) -> float:
            wanted = set(labels.items())
            return sum(
                value for (each, of), value in samples.items() if each == name and wanted <= of
            )

        requests, jobs = _total(found["buckets"], "requests"), _total(found["buckets"], "jobs")
        deleted = 2
        for code in ("2xx", "4xx", "5xx"):
            others = deleted if code == "2xx" else 0
            assert requests[code] == metric("web_requests_total", code=code) - others > 0
        assert {name: count for name, count in jobs.items() if count} == {
            "ok": 1,
            "cancelled": 2,
            "upstreamError": 1,
        }
        for outcome in OUTCOMES:
            assert jobs[to_camel(outcome)] == metric("web_jobs_total", outcome=outcome)
        pictures = sum(bucket["pictures"] for bucket in found["buckets"])
        assert pictures == metric("web_pictures_total") == 2
        for name, histogram in (
            ("waiting", "web_job_waiting_seconds"),
            ("drawing", "web_job_drawing_seconds"),
            ("whole", "web_job_seconds"),
        ):
            assert found["window"][name]["count"] == metric(f"{histogram}_count") > 0
            assert found["window"][name]["p99"] <= metric(f"{histogram}_sum")
        assert max(bucket["queued"] for bucket in found["buckets"]) == 1
        assert max(bucket["drawing"] for bucket in found["buckets"]) == 1

    check_in_process(check, Behaviour(seconds_per_step=0.05), queue=1)


def test_whoever_only_watches_moves_no_figure() -> None:
    async def check(run: InProcess) -> None:
        before = (await run.get(PATH)).json()
        for path in ("/api/v1/status", "/api/v1/jobs", "/sdapi/v1/progress", "/", "/nowhere"):
            await run.get(path)
        await run.post("/sdapi/v1/interrupt")
        after = (await run.get(PATH)).json()
        assert _total(after["buckets"], "requests") == {"2xx": 0, "4xx": 0, "5xx": 0}
        assert after["window"] == before["window"] == dict.fromkeys(("waiting", "drawing", "whole"))

    check_in_process(check)


def test_a_job_that_is_drawn_for_long_is_in_every_bucket() -> None:
    async def check(run: InProcess) -> None:
        await run.post("/api/v1/jobs", prompt="a", id="long")
        figures = run.service.metrics.figures

        def are_two() -> bool:
            return [bucket.counts.drawing for bucket in figures.read(5).buckets[-2:]] == [1, 1]

        await run.until(are_two)
        await run.client.delete("/api/v1/jobs/long")

    check_in_process(check, Behaviour(hangs={"advance"}))


def test_the_document_says_its_window_and_nothing_that_callers_wrote() -> None:
    async def check(run: InProcess) -> None:
        headers = {"authorization": "Bearer hidden-key"}
        await run.client.post(TXT2IMG, json={"prompt": "hidden words", "steps": 1}, headers=headers)
        answer = await run.get(f"{PATH}?minutes=15")
        found = answer.json()
        assert (found["minutes"], found["bucketSeconds"], len(found["buckets"])) == (15, 15, 60)
        start = datetime.fromisoformat(found["buckets"][-1]["start"])
        assert 0 <= (datetime.fromisoformat(found["now"]) - start).total_seconds() < 15
        assert found["buckets"][-1]["wholeSeconds"]["count"] == 1
        assert "hidden" not in answer.text

    check_in_process(check)


@pytest.mark.parametrize("minutes", ["4", "61", "1e9", "all", "", "5.5", "-5"])
def test_a_window_that_is_not_kept_is_refused_in_words(minutes: str) -> None:
    async def check(run: InProcess) -> None:
        answer = await run.get(f"{PATH}?minutes={minutes}")
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith("minutes: ")

    check_in_process(check, waits=False)


def test_reading_a_full_hour_takes_no_time_that_others_notice() -> None:
    async def check(run: InProcess) -> None:
        for number in range(MAX_KEPT_JOBS):
            run.service.metrics.figures.job_ended("ok", Durations(0, number, number))
        loop = asyncio.get_running_loop()
        seconds: list[float] = []
        for _ in range(5):
            began = loop.time()
            await run.get(PATH)
            seconds.append(loop.time() - began)
        assert min(seconds) < 0.1

    check_in_process(check, waits=False)
