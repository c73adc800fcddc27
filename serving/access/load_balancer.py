"""The Service in front of the pods: a load balancer, or an address in the cluster only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import core, meta, networking

from infra.settings.access import Api
from serving.access.network_policy import network_policy_spec
from serving.names import LABELS, NAME, PORTS

INTERNAL_ANNOTATION = "networking.gke.io/load-balancer-type"
_LOAD_BALANCER_TIMEOUT = "20m"


@dataclass(frozen=True)
class Exposure:
    """What clients outside the cluster reach: these APIs, from these IPv4 ranges.

    address: the load balancer's, if it has one of its own.
    """

    apis: Sequence[Api]
    source_ranges: Sequence[str]
    internal: bool
    address: pulumi.Input[str] | None


@dataclass(frozen=True)
class AccessArgs:
    """after: the pods behind the Service. cluster: with which the network policy is deleted."""

    namespace: pulumi.Input[str]
    exposure: Exposure
    after: Sequence[pulumi.Resource]
    cluster: pulumi.Resource


class Access(pulumi.ComponentResource):
    """A Service and a network policy, open to the given ranges only.

    Plain HTTP and gRPC, without authentication.
    """

    address: pulumi.Output[str] | None
    """The load balancer's; None if there is none."""

    def __init__(
        self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:serving:Access", name, {}, opts)
        exposure = args.exposure
        metadata = meta.v1.ObjectMetaArgs(name=NAME, namespace=args.namespace)
        networking.v1.NetworkPolicy(
            name,
            metadata=metadata,
            spec=network_policy_spec(exposure.apis, exposure.source_ranges),
            opts=pulumi.ResourceOptions(parent=self, deleted_with=args.cluster),
        )
        service = core.v1.Service(
            name,
            metadata=meta.v1.ObjectMetaArgs(
                name=NAME, namespace=args.namespace, annotations=_annotations(exposure)
            ),
            spec=_balanced(exposure) if exposure.apis else _in_cluster(exposure),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                # An existing load balancer does not change from public to internal, and keeps its
                # address when that is taken out, so that it could not be released.
                replace_on_changes=[
                    f'metadata.annotations["{INTERNAL_ANNOTATION}"]',
                    "spec.loadBalancerIP",
                ],
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(
                    create=_LOAD_BALANCER_TIMEOUT,
                    update=_LOAD_BALANCER_TIMEOUT,
                    delete=_LOAD_BALANCER_TIMEOUT,
                ),
            ),
        )
        self.address = service.status.apply(_address) if exposure.apis else None
        self.register_outputs({})


def _annotations(exposure: Exposure) -> dict[str, pulumi.Input[str]]:
    """Those of a load balancer, without one too: then it comes and goes by an update in place.

    A preview of a replacement would be applied to the existing Service, whose ranges are allowed
    to load balancers only.
    """
    if exposure.internal:
        return {INTERNAL_ANNOTATION: "Internal"}
    return {"cloud.google.com/l4-rbs": "enabled"}


def _balanced(exposure: Exposure) -> core.v1.ServiceSpecArgs:
    return core.v1.ServiceSpecArgs(
        type="LoadBalancer",
        selector=LABELS,
        load_balancer_ip=exposure.address,
        load_balancer_source_ranges=list(exposure.source_ranges),
        # Preserves client addresses, for the network policy.
        external_traffic_policy="Local",
        ports=_ports(exposure.apis),
    )


def _in_cluster(exposure: Exposure) -> core.v1.ServiceSpecArgs:
    return core.v1.ServiceSpecArgs(
        type="ClusterIP",
        selector=LABELS,
        load_balancer_ip=exposure.address,  # for a load balancer that comes later
        ports=_ports(tuple(PORTS)),
    )


def _ports(names: Sequence[str]) -> list[core.v1.ServicePortArgs]:
    return [
        core.v1.ServicePortArgs(name=name, port=PORTS[name], target_port=name) for name in names
    ]


def _address(status: Any) -> str:
    """The load balancer's address; empty while it has none."""
    balancer = status.load_balancer if status is not None else None
    ingress = balancer.ingress if balancer is not None else None
    return str(ingress[0].ip) if ingress else ""
