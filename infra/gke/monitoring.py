"""What the dashboards show, and who is told when something is wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
from pulumi_gcp import monitoring

from dashboards import cloud_monitoring
from dashboards.alerts import Alert, alerts
from dashboards.metrics import Scope
from dashboards.prometheus_rules import expression
from infra.settings.gke import NAMESPACE, GkeSettings
from infra.settings.knative import DEPLOYMENT, KNATIVE, WORKERS, Mode
from infra.settings.stack import ServerSettings

_EVALUATION_INTERVAL = "60s"
_CLOSED_AFTER = "3600s"


@dataclass(frozen=True)
class MonitoringArgs:
    """cluster: its name. wake_seconds: until a machine draws where none runs; 0 if one always
    does."""

    settings: GkeSettings
    server: ServerSettings
    wake_seconds: int
    cluster: pulumi.Input[str]


class Monitoring(pulumi.ComponentResource):
    """A dashboard, and alerts by e-mail if there is an address for them."""

    def __init__(
        self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:Monitoring", name, {}, opts)
        settings, title = args.settings.monitoring, f"diffusion-serving {pulumi.get_stack()}"
        mode: Mode = DEPLOYMENT if args.settings.knative is None else KNATIVE
        cluster = pulumi.Output.from_input(args.cluster)
        monitoring.Dashboard(
            name,
            project=args.settings.project,
            dashboard_json=cluster.apply(
                lambda found: json.dumps(
                    cloud_monitoring.dashboard(title, mode, scope(mode, found), settings.node_price)
                )
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        if settings.alert_email:
            self._alert(name, args, title, mode)
        self.register_outputs({})

    def _alert(self, name: str, args: MonitoringArgs, title: str, mode: Mode) -> None:
        settings = args.settings
        child = pulumi.ResourceOptions(parent=self)
        channel = monitoring.NotificationChannel(
            f"{name}-email",
            project=settings.project,
            display_name=title,
            type="email",
            labels={"email_address": settings.monitoring.alert_email},
            opts=child,
        )
        budget = settings.monitoring.budget_seconds(
            args.server.request_timeout_seconds, args.wake_seconds
        )
        cluster = pulumi.Output.from_input(args.cluster)
        for alert in alerts(mode, spot=settings.nodes.spot):
            query = cluster.apply(lambda found, a=alert: expression(a, scope(mode, found), budget))
            monitoring.AlertPolicy(
                f"{name}-{alert.name}",
                project=settings.project,
                display_name=f"{title}: {alert.title}",
                combiner="OR",
                severity=alert.severity,
                conditions=[_condition(alert, query)],
                notification_channels=[channel.name],
                documentation=monitoring.AlertPolicyDocumentationArgs(
                    content=alert.runbook, mime_type="text/markdown"
                ),
                alert_strategy=monitoring.AlertPolicyAlertStrategyArgs(auto_close=_CLOSED_AFTER),
                opts=child,
            )


def scope(mode: Mode, cluster: str) -> Scope:
    return cloud_monitoring.scope(mode, cluster=cluster, namespace=NAMESPACE, service=WORKERS)


def _condition(alert: Alert, query: pulumi.Output[str]) -> monitoring.AlertPolicyConditionArgs:
    return monitoring.AlertPolicyConditionArgs(
        display_name=alert.title,
        condition_prometheus_query_language=(
            monitoring.AlertPolicyConditionConditionPrometheusQueryLanguageArgs(
                query=query,
                alert_rule=alert.name,
                # Google gives back nothing in place of zero.
                duration=f"{alert.seconds}s" if alert.seconds else None,
                evaluation_interval=_EVALUATION_INTERVAL,
                # Of series that come with the first pod, picture or preemption.
                disable_metric_validation=True,
            )
        ),
    )
