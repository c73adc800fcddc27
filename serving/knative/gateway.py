"""The workers' way in from outside: a load balancer in front of Kourier's gateway.

Not the one that Knative's operator would make, which has no source ranges and so lets in everyone.
"""

from __future__ import annotations

import pulumi

from infra.gke.knative.configuration import GATEWAY, NAMESPACE
from serving.access.balanced import BalancedService, LoadBalancer, Ports
from serving.access.load_balancer import Exposure

NAME = "workers"
_PORTS = {"http2-external": 80}
"""By the name of the gateway's own port for clients outside the cluster."""


def domain(address: pulumi.Input[str]) -> pulumi.Output[str]:
    """A domain that leads to the address without being registered."""
    return pulumi.Output.format("{0}.sslip.io", address)


def open_gateway(
    name: str, exposure: Exposure, knative: pulumi.Resource, parent: pulumi.Resource
) -> None:
    BalancedService(
        f"{name}-{NAME}",
        NAME,
        namespace=NAMESPACE,
        ports=Ports(balanced=_PORTS, in_cluster=_PORTS),
        load_balancer=LoadBalancer(exposure.source_ranges, exposure.internal, exposure.address),
        labels={"app": GATEWAY},
        is_sticky=False,
        after=[knative],
        parent=parent,
    )
