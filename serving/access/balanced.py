"""A Service that may have a load balancer, which comes and goes without replacing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import core, meta

INTERNAL_ANNOTATION = "networking.gke.io/load-balancer-type"
_TIMEOUT = "20m"


@dataclass(frozen=True)
class LoadBalancer:
    """source_ranges: who may connect. internal: whether it has an address of the VPC.

    address: of its own, if it has one.
    """

    source_ranges: Sequence[str]
    internal: bool
    address: pulumi.Input[str] | None


@dataclass(frozen=True)
class Ports:
    """Ports of the Service by the names of the pods' ports: of the load balancer, which is left
    out if there are none, and without it.
    """

    balanced: Mapping[str, int]
    in_cluster: Mapping[str, int]


class BalancedService:
    """The Service, and its load balancer's address: None if it has none."""

    resource: core.v1.Service
    address: pulumi.Output[str] | None

    def __init__(
        self,
        resource_name: str,
        name: str,
        *,
        namespace: pulumi.Input[str],
        ports: Ports,
        load_balancer: LoadBalancer,
        labels: Mapping[str, str],
        is_sticky: bool,
        after: Sequence[pulumi.Resource],
        parent: pulumi.Resource,
    ) -> None:
        """labels: of the pods. is_sticky: whether a client's requests all go to one pod, as long as
        that serves.
        """
        is_balanced = bool(ports.balanced)
        spec = _balanced(ports, load_balancer) if is_balanced else _alone(ports, load_balancer)
        spec.selector = dict(labels)
        if is_sticky:
            spec.session_affinity = "ClientIP"
        self.resource = core.v1.Service(
            resource_name,
            metadata=meta.v1.ObjectMetaArgs(
                name=name, namespace=namespace, annotations=_annotations(load_balancer)
            ),
            spec=spec,
            opts=pulumi.ResourceOptions(
                parent=parent,
                depends_on=list(after),
                # An existing load balancer does not change from public to internal, and keeps its
                # address when that is taken out, so that it could not be released.
                replace_on_changes=[
                    f'metadata.annotations["{INTERNAL_ANNOTATION}"]',
                    "spec.loadBalancerIP",
                ],
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(
                    create=_TIMEOUT, update=_TIMEOUT, delete=_TIMEOUT
                ),
            ),
        )
        self.address = self.resource.status.apply(_address) if is_balanced else None


def _annotations(load_balancer: LoadBalancer) -> dict[str, pulumi.Input[str]]:
    """Those of a load balancer, without one too: then it comes and goes by an update in place.

    A preview of a replacement would be applied to the existing Service, whose ranges are allowed
    to load balancers only.
    """
    if load_balancer.internal:
        return {INTERNAL_ANNOTATION: "Internal"}
    return {"cloud.google.com/l4-rbs": "enabled"}


def _balanced(ports: Ports, load_balancer: LoadBalancer) -> core.v1.ServiceSpecArgs:
    return core.v1.ServiceSpecArgs(
        type="LoadBalancer",
        load_balancer_ip=load_balancer.address,
        load_balancer_source_ranges=list(load_balancer.source_ranges),
        # Preserves client addresses, for the network policy.
        external_traffic_policy="Local",
        ports=_ports(ports.balanced),
    )


def _alone(ports: Ports, load_balancer: LoadBalancer) -> core.v1.ServiceSpecArgs:
    return core.v1.ServiceSpecArgs(
        type="ClusterIP",
        load_balancer_ip=load_balancer.address,  # for one that comes later
        ports=_ports(ports.in_cluster),
    )


def _ports(ports: Mapping[str, int]) -> list[core.v1.ServicePortArgs]:
    return [
        core.v1.ServicePortArgs(name=name, port=port, target_port=name)
        for name, port in ports.items()
    ]


def _address(status: Any) -> str:
    """The load balancer's address; empty while it has none."""
    balancer = status.load_balancer if status is not None else None
    ingress = balancer.ingress if balancer is not None else None
    return str(ingress[0].ip) if ingress else ""
