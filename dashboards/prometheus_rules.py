"""The table of alerts as a file of rules for a Prometheus of one's own."""

from __future__ import annotations

from typing import Any

from dashboards.alerts import BUDGET, Alert, alerts
from dashboards.metrics import Mode, Scope, of_web_services, scoped


def expression(alert: Alert, scope: Scope, budget_seconds: float) -> str:
    return scoped(alert.expression.replace(BUDGET, f"{budget_seconds:g}"), scope)


def rules(mode: Mode, budget_seconds: float) -> dict[str, Any]:
    """What the file says, without what only Google measures."""
    scope = of_web_services(mode, "")
    return {
        "groups": [
            {
                "name": "diffusion-serving",
                "rules": [
                    {
                        "alert": alert.name,
                        "expr": expression(alert, scope, budget_seconds),
                        "for": f"{alert.seconds}s",
                        "labels": {"severity": alert.severity.lower()},
                        "annotations": {"summary": alert.title, "runbook": alert.runbook},
                    }
                    for alert in alerts(mode, spot=False)
                ],
            }
        ]
    }
