"""The table's charts on the service's own page, which has the figures of one process."""

from __future__ import annotations

from typing import Any

from dashboards.panels import SECTIONS


def charts() -> list[dict[str, Any]]:
    """What the page is told of them. figures: where the series' values stand in a bucket."""
    return [
        {
            "title": panel.title,
            "kind": "bars" if panel.kind == "stacked" else "lines",
            "isWhole": panel.unit == "",
            "series": [each.name for each in panel.series],
            "figures": [each.figure for each in panel.series],
            "empty": panel.page.empty,
            "total": panel.page.total,
        }
        for section in SECTIONS
        for panel in section.panels
        if panel.page is not None
    ]
