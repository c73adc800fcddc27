"""The settings of dashboards and alerts on GKE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from infra.settings.values import SettingsError, integer, number, required

ALERT_EMAIL, BUDGET, PRICE = "alertEmail", "latencyBudgetSeconds", "nodePricePerHour"
KEYS = frozenset({ALERT_EMAIL, BUDGET, PRICE})

_AUTO = "auto"
_ADDRESS = re.compile(r"[^@\s,;<>]{1,64}@[^@\s,;<>]+\.[^@\s,;<>.]+")
_BUDGET_SECONDS = range(1, 3601)
_MOST_EXPENSIVE = 1000.0


@dataclass(frozen=True)
class MonitoringSettings:
    """alert_email: who is told; empty if nobody is. node_price: an hour's; 0 if it is not known."""

    alert_email: str
    node_price: float
    given_budget_seconds: int | None

    def budget_seconds(self, request_timeout_seconds: int, wake_seconds: int) -> float:
        """Within which 95 % of the jobs are to be done: if not set, half of a request's timeout
        once a machine runs. wake_seconds: until then, where none may run."""
        return self.given_budget_seconds or wake_seconds + request_timeout_seconds / 2


def parse(values: Mapping[str, str]) -> MonitoringSettings:
    """Settings from configuration values. Raises SettingsError for the first invalid one."""
    example = "ops@example.com"
    address = required(values, ALERT_EMAIL, example).strip()
    if address and not _ADDRESS.fullmatch(address):
        raise SettingsError(ALERT_EMAIL, f"must be one e-mail address, not {address!r}", example)
    is_auto = required(values, BUDGET, _AUTO) == _AUTO
    return MonitoringSettings(
        alert_email=address,
        node_price=number(values, PRICE, 0.0, _MOST_EXPENSIVE, "0.2"),
        given_budget_seconds=None if is_auto else integer(values, BUDGET, _BUDGET_SECONDS, _AUTO),
    )
