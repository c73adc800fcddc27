"""Settings of dashboards and alerts."""

from __future__ import annotations

import pytest

from infra.settings import unread
from infra.settings.monitoring import MonitoringSettings
from infra.settings.values import SettingsError
from tests.infra.settings.test_gke import parsed
from tests.infra.settings.test_unread import values


def monitoring(**changes: str) -> MonitoringSettings:
    return parsed(**changes).monitoring


def test_nobody_is_told_and_no_price_is_known_unless_they_are_set() -> None:
    settings = monitoring()
    assert (settings.alert_email, settings.node_price) == ("", 0)


def test_the_budget_is_half_of_a_requests_timeout_unless_it_is_set() -> None:
    assert monitoring().budget_seconds(720, 0) == 360
    assert monitoring(latencyBudgetSeconds="90").budget_seconds(720, 100) == 90


def test_a_cold_start_is_no_reason_for_an_alert() -> None:
    assert monitoring().budget_seconds(300, 257) == 257 + 150


def test_an_address_and_a_price_are_taken_as_they_are() -> None:
    settings = monitoring(alertEmail=" ops@example.com ", nodePricePerHour="0.1943")
    assert (settings.alert_email, settings.node_price) == ("ops@example.com", 0.1943)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("alertEmail", "ops"),
        ("alertEmail", "ops@example"),
        ("alertEmail", "a@example.com, b@example.com"),
        ("alertEmail", "Ops <ops@example.com>"),
        ("latencyBudgetSeconds", "0"),
        ("latencyBudgetSeconds", "soon"),
        ("latencyBudgetSeconds", ""),
        ("nodePricePerHour", "-1"),
        ("nodePricePerHour", "nan"),
        ("nodePricePerHour", "1001"),
        ("nodePricePerHour", "$2"),
    ],
)
def test_what_is_no_address_time_or_price_is_refused_in_one_line(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{key}: must be [^\n]+$"):
        monitoring(**{key: value})


def test_a_budget_that_nobody_would_be_told_of_is_a_warning() -> None:
    def said(**changes: str) -> list[str]:
        return unread.without_effect(["latencyBudgetSeconds"], values("dev", **changes))

    line = "latencyBudgetSeconds: has no effect while alertEmail is empty"
    assert said(latencyBudgetSeconds="90") == [line]
    assert said(latencyBudgetSeconds="90", alertEmail="ops@example.com") == []
