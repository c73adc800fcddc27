"""docs/monitoring.md says what the tables say."""

from __future__ import annotations

from dashboards.alerts import ALERTS
from dashboards.panels import SECTIONS
from infra.settings.monitoring import KEYS
from render.recorder import ROOT

TEXT = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in TEXT.splitlines()
    if line.startswith("| ")
]


def test_every_alert_has_a_row_with_its_runbook() -> None:
    documented = {(row[0].strip("`"), row[2]) for row in ROWS if len(row) == 3}
    assert {(alert.name, alert.runbook) for alert in ALERTS} <= documented
    for alert in ALERTS:
        (when,) = {row[1] for row in ROWS if row[0] == f"`{alert.name}`"}
        minutes = alert.seconds // 60
        assert when.startswith(alert.title)
        assert (f"for {minutes} minute" in when) is (minutes > 0)


def test_a_runbook_is_one_line() -> None:
    assert all(alert.runbook and "\n" not in alert.runbook for alert in ALERTS)


def test_every_section_and_every_setting_is_named() -> None:
    names = {row[0].strip("`") for row in ROWS}
    assert {section.title for section in SECTIONS} | KEYS <= names
