"""Managed Prometheus' collectors read what Knative itself counts: its pods, and its requests."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes import apiextensions, meta

from infra.gke.knative.configuration import NAMESPACE

_APPS = ("activator", "autoscaler")
_PORT = "metrics"
_INTERVAL = "30s"


def control_plane_monitoring(
    name: str, serving: pulumi.Resource, opts: pulumi.ResourceOptions
) -> apiextensions.CustomResource:
    """serving: Knative, which makes the pods."""
    return apiextensions.CustomResource(
        f"{name}-monitoring",
        api_version="monitoring.googleapis.com/v1",
        kind="PodMonitoring",
        metadata=meta.v1.ObjectMetaArgs(name="knative", namespace=NAMESPACE),
        spec={
            "selector": {
                "matchExpressions": [{"key": "app", "operator": "In", "values": list(_APPS)}]
            },
            "endpoints": [{"port": _PORT, "interval": _INTERVAL}],
        },
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[serving])),
    )
