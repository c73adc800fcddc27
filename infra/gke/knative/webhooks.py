"""The firewall rule by which the API server reaches the webhooks of Knative and of its operator."""

from __future__ import annotations

import pulumi
from pulumi_gcp import compute

from infra.gke.network import NODE_RANGE

_PORT = "8443"


def webhook_firewall(
    name: str,
    network_id: pulumi.Input[str],
    control_plane_range: pulumi.Output[str],
    opts: pulumi.ResourceOptions | None = None,
) -> compute.Firewall:
    """GKE itself opens ports 443 and 10250 of private nodes, and no others."""
    return compute.Firewall(
        name,
        network=network_id,
        description="The API server calls the webhooks of Knative and of its operator",
        direction="INGRESS",
        source_ranges=control_plane_range.apply(_sources),
        allows=[compute.FirewallAllowArgs(protocol="tcp", ports=[_PORT])],
        opts=opts,
    )


def _sources(control_plane_range: str) -> list[str]:
    """The control plane's own range, if it has one, and that of its private endpoint."""
    return [*([control_plane_range] if control_plane_range else []), NODE_RANGE]
