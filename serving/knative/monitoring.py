"""Managed Prometheus' collectors read the workers' metrics."""

from __future__ import annotations

import pulumi

from serving.knative.network_policy import REQUEST_METRICS
from serving.names import WEB_METRICS_PORT, WORKER, WORKER_LABELS
from serving.workloads.pod_monitoring import pod_monitoring


def worker_monitoring(
    name: str, *, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> None:
    """By number: the pod declares neither port."""
    ports = (WEB_METRICS_PORT, REQUEST_METRICS)
    pod_monitoring(name, WORKER, WORKER_LABELS, namespace=namespace, opts=opts, ports=ports)
