"""The table itself: its metrics are real, and every question is narrowed to one service."""

from __future__ import annotations

import re

import pytest

from dashboards.alerts import ALERTS
from dashboards.metrics import METRICS, Source, names_in, scoped
from dashboards.panels import SECTIONS, sections
from tests.web.in_process import InProcess, check_in_process

EXPRESSIONS = [
    *(each.expression for s in SECTIONS for panel in s.panels for each in panel.series),
    *(alert.expression for alert in ALERTS),
]
OURS = (Source.ASKED, Source.WEB, Source.MODEL)


def test_every_metric_of_ours_is_in_the_services_metrics() -> None:
    async def check(run: InProcess) -> None:
        await run.until(lambda: run.service.models.start_seconds is not None)
        there = {name for name, _ in run.samples()}
        assert {name for name, source in METRICS.items() if source in OURS} <= there

    check_in_process(check)


def test_every_metric_of_the_table_is_asked_for_and_no_other() -> None:
    assert set().union(*map(names_in, EXPRESSIONS)) == set(METRICS)
    for expression in EXPRESSIONS:
        plain = re.sub(r'"[^"]*"', "", expression)
        followed_by_a_selector = set(re.findall(r"[\w:]+(?=[{\[])", plain))
        assert followed_by_a_selector <= set(METRICS), expression


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("web_queued_jobs", 'web_queued_jobs{a="b"}'),
        ('rate(web_jobs_total{outcome="ok"}[5m])', 'rate(web_jobs_total{a="b", outcome="ok"}[5m])'),
        ("sum(web_queued_jobs) > 0", 'sum(web_queued_jobs{a="b"}) > 0'),
        ("web_queued_jobs offset 1h", 'web_queued_jobs{a="b"} offset 1h'),
        ("my_web_queued_jobs", "my_web_queued_jobs"),
        ("web_queued_jobs_more", "web_queued_jobs_more"),
        ("kn_revision_pods_count", "kn_revision_pods_count"),
    ],
)
def test_matchers_go_to_the_metrics_of_their_source_alone(expression: str, expected: str) -> None:
    assert scoped(expression, {Source.WEB: 'a="b"'}) == expected


def test_without_a_price_there_is_no_section_of_costs() -> None:
    titles = [section.title for section in sections("deployment", has_price=False)]
    assert titles == ["Requests", "Durations", "Load"]


def test_no_panel_asks_for_a_percentile_beyond_a_metric_of_our_own() -> None:
    """Knative's and most others' histograms end at ten seconds, where our pictures begin."""
    for expression in EXPRESSIONS:
        if "histogram_quantile" in expression:
            assert {METRICS[name] for name in names_in(expression)} <= set(OURS)
