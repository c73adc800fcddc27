"""Managed Prometheus' collectors read the web containers' metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import apiextensions, meta

from serving.names import WEB_METRICS

_INTERVAL = "30s"


def pod_monitoring(
    resource_name: str,
    name: str,
    labels: Mapping[str, str],
    *,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    ports: Sequence[str | int] = (WEB_METRICS,),
) -> apiextensions.CustomResource:
    """Of a kind that GKE adds to a cluster with Managed Prometheus. labels: of the pods."""
    return apiextensions.CustomResource(
        resource_name,
        api_version="monitoring.googleapis.com/v1",
        kind="PodMonitoring",
        metadata=meta.v1.ObjectMetaArgs(name=name, namespace=namespace),
        spec={
            "selector": {"matchLabels": dict(labels)},
            "endpoints": [{"port": port, "interval": _INTERVAL} for port in ports],
        },
        opts=opts,
    )
