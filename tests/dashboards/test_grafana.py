"""Grafana's dashboard file, held against Grafana's own library."""

from __future__ import annotations

import json
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.grafana import dashboard
from dashboards.metrics import MODES, Mode
from dashboards.panels import sections


def as_grafana_reads_it(found: dict[str, Any]) -> Any:
    """Read by Grafana's library and written again; it forgets what it does not know."""
    return json.loads(JSONEncoder().encode(Dashboard.from_json(found)))


def missing(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """The paths of what is in ours and not, or different, in theirs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            problem
            for key, value in ours.items()
            for problem in missing(value, theirs.get(key), f"{path}.{key}")
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            problem
            for number, (one, other) in enumerate(zip(ours, theirs, strict=True))
            for problem in missing(one, other, f"{path}[{number}]")
        ]
    return [] if ours == theirs else [path]


@pytest.mark.parametrize("mode", MODES)
def test_grafanas_own_library_knows_everything_in_it(mode: Mode) -> None:
    assert missing(dashboard(mode), as_grafana_reads_it(dashboard(mode))) == []


def test_grafanas_library_would_notice_what_it_does_not_know() -> None:
    wrong = dashboard("deployment")
    wrong["panels"][1]["fieldConfig"]["defaults"]["colour"] = "red"
    assert missing(wrong, as_grafana_reads_it(wrong)) == [".panels[1].fieldConfig.defaults.colour"]


@pytest.mark.parametrize("mode", MODES)
def test_it_has_every_panel_of_its_mode_at_a_place_of_its_own(mode: Mode) -> None:
    panels = dashboard(mode)["panels"]
    charts = [panel for panel in panels if panel["type"] != "row"]
    expected = [p.title for section in sections(mode, has_price=True) for p in section.panels]
    assert [panel["title"] for panel in charts] == expected
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("mode", MODES)
def test_its_variables_are_those_that_its_questions_use(mode: Mode) -> None:
    found = dashboard(mode)
    declared = {variable["name"] for variable in found["templating"]["list"]}
    text = json.dumps(found["panels"])
    assert all(f"${name}" in text or f"${{{name}}}" in text for name in declared)
    assert "$budget" not in text
