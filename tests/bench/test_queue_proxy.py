"""`bench.queue_proxy`: its table. What it measures, tests/knative/queue_proxy tests."""

from __future__ import annotations

from dataclasses import replace

from bench.queue_proxy import PUBLISHED, ColdStart, Measured, table

MEASURED = Measured(
    ColdStart(ready=4.5, first_picture=6.25),
    replace(PUBLISHED, total_seconds=30.0, percentiles={50: 2.5}, statuses={200: 49, 503: 1}),
    depth=5,
    in_flight=1,
)


def test_every_figure_stands_beside_the_published_one() -> None:
    lines = table(MEASURED)
    assert "| answered 200 | 49 of 50 | 50 of 50 |" in lines
    assert "| in all | 30.00 s | 252.17 s |" in lines
    assert "| p50 | 2.50 s | 20.08 s |" in lines
    assert "| p95 | – | 61.50 s |" in lines
    assert {line.count("|") for line in lines} == {4}


def test_the_cold_start_is_told_apart_from_the_load() -> None:
    lines = table(MEASURED)
    assert "| from a cold start: first picture | 6.25 s | – |" in lines
    assert "| requests in the worker, at most | 1 | – |" in lines
