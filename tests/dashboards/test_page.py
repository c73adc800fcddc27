"""The charts of the service's own page come from the table."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from dashboards.page import charts
from dashboards.panels import SECTIONS
from web.api.figures import BucketDocument, OutcomesDocument, PercentilesDocument, RequestsDocument
from web.page.assemble import the_page

MOST_SERIES = 4
"""Which the page can tell apart."""


def test_the_page_has_the_tables_charts() -> None:
    opening = b'<script type="application/json" id="charts">'
    (_, after) = the_page().html.split(opening)
    assert json.loads(after.partition(b"</script>")[0]) == charts()


def test_they_are_requests_durations_and_load() -> None:
    assert [chart["title"] for chart in charts()] == [
        "Requests for pictures",
        "Seconds from request to picture",
        "Jobs waiting and being drawn",
    ]


def test_every_series_has_a_figure_that_the_service_tells() -> None:
    bucket = BucketDocument(
        start=datetime.now(UTC),
        requests=RequestsDocument(),
        jobs=OutcomesDocument(),
        queued=0,
        drawing=0,
        pictures=0,
        whole_seconds=PercentilesDocument(count=1, p50=1, p90=1, p95=1, p99=1),
    ).model_dump(by_alias=True)
    for chart in charts():
        assert 0 < len(chart["figures"]) == len(chart["series"]) <= MOST_SERIES
        for figure in chart["figures"]:
            found = bucket
            for key in figure.split("."):
                found = found[key]
            assert isinstance(found, int | float), figure


def test_a_figure_stands_only_where_the_page_shows_it() -> None:
    for section in SECTIONS:
        for panel in section.panels:
            assert {bool(each.figure) for each in panel.series} == {panel.page is not None}
