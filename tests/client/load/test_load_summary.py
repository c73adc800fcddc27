"""The figures of a load test, from made-up results."""

from __future__ import annotations

import math
import random

import pytest

from client.load.plan import (
    TUTORIAL_PROMPTS,
    Plan,
    at_a_rate,
    at_a_time,
    one_after_another,
    staggered,
)
from client.load.plot import steps_in_flight
from client.load.report import as_document, as_text
from client.load.run import Outcome, Result
from client.load.summary import PERCENTAGES, histogram, percentile, summarize
from prediction.limits import PictureRequest


def requests(count: int) -> list[PictureRequest]:
    return [PictureRequest("x", "", 1, 3.0, seed) for seed in range(count)]


def result(number: int, sent: float, finished: float | None, **more: object) -> Result:
    values: dict[str, object] = {
        "prompt": "x",
        "seed": 1,
        "scheduled": 0.0,
        "latency_from": sent,
        "status": "" if finished is None else "200",
    }
    return Result(number, sent=sent, finished=finished, **(values | more))  # type: ignore[arg-type]


def outcome(*results: Result, plan: Plan | None = None, **more: object) -> Outcome:
    values: dict[str, object] = {"seconds": 10.0, "interrupted": False}
    return Outcome(plan or at_a_time(requests(len(results)), 2), results, **(values | more))  # type: ignore[arg-type]


def test_percentiles_are_values_that_occurred_and_the_99th_of_50_is_the_slowest() -> None:
    values = [float(i) for i in range(1, 51)]
    assert [percentile(values, p) for p in PERCENTAGES] == [5, 13, 25, 38, 45, 48, 50]
    assert percentile([7.0], 10) == percentile([7.0], 99) == 7.0


def test_at_least_p_percent_of_values_are_at_most_the_pth_percentile() -> None:
    rng = random.Random(1)
    for _ in range(200):
        values = sorted(rng.uniform(0, 9) for _ in range(rng.randint(1, 120)))
        for p in PERCENTAGES:
            at_most = sum(v <= percentile(values, p) for v in values)
            below = sum(v < percentile(values, p) for v in values)
            assert at_most / len(values) >= p / 100 > below / len(values)


def test_the_histogram_counts_every_value_once() -> None:
    assert histogram([]) == ()
    assert sum(count for _, count in histogram([2.0, 2.0, 2.0])) == 3
    marks = histogram([0.0, 0.5, 1.0, 10.0])
    assert [count for _, count in marks] == [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    rng = random.Random(1)
    for _ in range(200):
        values = sorted(rng.expovariate(1) for _ in range(rng.randint(1, 90)))
        assert sum(count for _, count in histogram(values)) == len(values)


def test_the_success_rate_is_over_all_requests_sent() -> None:
    summary = summarize(
        outcome(
            result(1, 0.0, 1.0),
            result(2, 0.0, 0.1, status="503", error="full", exit_code=6),
            result(3, 0.0, 5.0, status="", error="no response within 5 s", exit_code=7),
            result(4, 1.0, None),
            plan=at_a_time(requests(6), 2),
            interrupted=True,
        )
    )
    assert (summary.planned, summary.sent, summary.pictures) == (6, 4, 1)
    assert (summary.failed, summary.unfinished, summary.success_rate) == (2, 1, 0.25)
    assert (summary.requests_per_second, summary.pictures_per_second) == (0.3, 0.1)
    assert summary.statuses == {"200": 1, "503": 1}
    assert summary.errors == {"full": 1, "no response within 5 s": 1}
    text = as_text(summary)
    assert "Success:\t1 of 4 sent (25.0 %)" in text
    assert "Not sent:\t2" in text
    assert "Unfinished:\t1 in flight" in text


def test_latencies_are_those_of_successful_requests() -> None:
    summary = summarize(
        outcome(result(1, 1.0, 3.0), result(2, 1.0, 1.001, error="full"), result(3, 2.0, 6.0))
    )
    assert (summary.fastest_seconds, summary.slowest_seconds) == (2.0, 4.0)
    assert summary.average_seconds == 3.0


def test_a_run_without_pictures_has_no_latencies() -> None:
    summary = summarize(outcome(result(1, 0.0, 1.0, error="full", status="503")))
    assert (summary.slowest_seconds, summary.percentiles, summary.histogram) == (None, {}, ())
    text = as_text(summary)
    assert "Latency" not in text
    assert "Success:\t0 of 1 sent (0.0 %)" in text


def test_the_report_has_heys_sections() -> None:
    text = as_text(summarize(outcome(*(result(n, 0.0, n / 10) for n in range(1, 51)))))
    assert text.startswith("Summary: 50 requests, 2 at a time\n  Total:\t10.0000 secs\n")
    for line in (
        "  Slowest:\t5.0000 secs",
        "  Fastest:\t0.1000 secs",
        "  Average:\t2.5500 secs",
        "  Requests/sec:\t5.0000",
        "Response time histogram:",
        "  0.100 [1]\t|■■■■■■■■",
        "Latency distribution:",
        "  50% in 2.5000 secs",
        "  99% in 5.0000 secs",
        "Status code distribution:",
        "  [200]\t50 responses",
    ):
        assert line in text.splitlines(), line


def test_the_exit_code_is_that_of_the_most_frequent_failure() -> None:
    full, late = ({"error": "x", "exit_code": code} for code in (6, 7))
    assert outcome(result(1, 0, 1.0)).exit_code == 0
    assert outcome(result(1, 0, 1.0), result(2, 0, 1.0, **late)).exit_code == 7
    assert (
        outcome(result(1, 0, 1, **late), result(2, 0, 1, **full), result(3, 0, 1, **full)).exit_code
        == 6
    )


def test_retries_are_counted_separately_from_requests() -> None:
    summary = summarize(
        outcome(result(1, 0, 1, retries=3), result(2, 0, 1), result(3, 0, 1, retries=1))
    )
    assert (summary.sent, summary.retries, summary.retried) == (3, 4, 2)
    assert "  Retries:\t4, in 2 requests" in as_text(summary)


def test_the_document_holds_every_request() -> None:
    run = outcome(result(1, 0.5, 1.5, endpoint="http://h"), result(2, 0.0, None))
    document = as_document(summarize(run), run)
    first, second = document["requests"]
    assert (first["latency_seconds"], first["endpoint"], first["seed"]) == (1.0, "http://h", 1)
    assert (second["finished_seconds"], second["latency_seconds"]) == (None, None)
    assert document["summary"]["sent"] == 2


def test_a_rate_is_a_poisson_process() -> None:
    plan = at_a_rate(requests(2000), 4.0, seed=1)
    times = [job.at_seconds for job in plan.jobs]
    gaps = [b - a for a, b in zip([0.0, *times], times, strict=False)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(1 / 4.0, rel=0.1)
    # Exponential gaps: their deviation is their mean, and 1/e of them are longer than it.
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert deviation == pytest.approx(mean, rel=0.1)
    assert sum(gap > mean for gap in gaps) / len(gaps) == pytest.approx(1 / math.e, rel=0.1)
    assert times == sorted(times)
    assert [job.at_seconds for job in at_a_rate(requests(2000), 4.0, seed=1).jobs] == times


def test_the_tutorials_runs_have_its_timing_and_concurrency() -> None:
    parallel = staggered(requests(len(TUTORIAL_PROMPTS)))
    assert [job.at_seconds for job in parallel.jobs] == [0, 20, 40, 60, 60]
    assert parallel.workers == 3
    sequential = one_after_another(requests(5))
    assert (sequential.workers, len(sequential.jobs)) == (1, 5)
    assert len(TUTORIAL_PROMPTS) == 5


def test_requests_in_flight_are_counted_over_time() -> None:
    run = outcome(result(1, 0.0, 4.0), result(2, 1.0, 3.0), result(3, 2.0, None))
    times, numbers = steps_in_flight(run)
    assert list(zip(times, numbers, strict=True)) == [
        (0.0, 0), (0.0, 1), (1.0, 2), (2.0, 3), (3.0, 2), (4.0, 1), (10.0, 1),
    ]  # fmt: skip
