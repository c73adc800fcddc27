"""How clients reach the pods: a load balancer and a network policy, for given source ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import core, meta, networking

from serving.names import GRPC_PORT, LABELS, REST_PORT

_LOAD_BALANCER_TIMEOUT = "20m"
_METADATA_SERVER = (("169.254.169.252/32", 988), ("169.254.169.254/32", 80))
"""Source of workload identity tokens, without and with Dataplane V2 (GKE, "Network policies")."""
_NOT_GOOGLE = ("10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")


@dataclass(frozen=True)
class ExposureArgs:
    """source_ranges: IPv4 ranges of the clients; deployment: the pods behind the Service."""

    namespace: pulumi.Input[str]
    source_ranges: Sequence[str]
    internal: bool
    deployment: pulumi.Resource


class Exposure(pulumi.ComponentResource):
    """A LoadBalancer Service for gRPC and REST, open to the given ranges only.

    Plain HTTP and gRPC, without authentication.
    """

    address: pulumi.Output[str]

    def __init__(
        self, name: str, args: ExposureArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:serving:Exposure", name, {}, opts)
        annotations = {"cloud.google.com/l4-rbs": "enabled"}
        if args.internal:
            annotations = {"networking.gke.io/load-balancer-type": "Internal"}
        service = core.v1.Service(
            name,
            metadata=meta.v1.ObjectMetaArgs(namespace=args.namespace, annotations=annotations),
            spec=core.v1.ServiceSpecArgs(
                type="LoadBalancer",
                selector=LABELS,
                load_balancer_source_ranges=list(args.source_ranges),
                # Preserves client addresses, for the network policy.
                external_traffic_policy="Local",
                ports=[
                    core.v1.ServicePortArgs(name=port_name, port=port, target_port=port_name)
                    for port_name, port in (("grpc", GRPC_PORT), ("rest", REST_PORT))
                ],
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.deployment],
                custom_timeouts=pulumi.CustomTimeouts(
                    create=_LOAD_BALANCER_TIMEOUT, delete=_LOAD_BALANCER_TIMEOUT
                ),
            ),
        )
        networking.v1.NetworkPolicy(
            name,
            metadata=meta.v1.ObjectMetaArgs(namespace=args.namespace),
            spec=_network_policy(args.source_ranges),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.address = service.status.apply(_address)
        self.register_outputs({"address": self.address})


def _network_policy(source_ranges: Sequence[str]) -> networking.v1.NetworkPolicySpecArgs:
    """Ingress: clients (probes from the node always pass). Egress: DNS, tokens, storage."""
    return networking.v1.NetworkPolicySpecArgs(
        pod_selector=meta.v1.LabelSelectorArgs(match_labels=LABELS),
        policy_types=["Ingress", "Egress"],
        ingress=[
            networking.v1.NetworkPolicyIngressRuleArgs(
                from_=[_peer(block) for block in source_ranges],
                ports=[_port("TCP", GRPC_PORT), _port("TCP", REST_PORT)],
            )
        ],
        egress=[
            networking.v1.NetworkPolicyEgressRuleArgs(ports=[_port("UDP", 53), _port("TCP", 53)]),
            *(
                networking.v1.NetworkPolicyEgressRuleArgs(
                    to=[_peer(block)], ports=[_port("TCP", port)]
                )
                for block, port in _METADATA_SERVER
            ),
            networking.v1.NetworkPolicyEgressRuleArgs(
                # Google's storage API has no address range of its own.
                to=[_peer("0.0.0.0/0", _NOT_GOOGLE)],
                ports=[_port("TCP", 443)],
            ),
        ],
    )


def _peer(block: str, without: Sequence[str] = ()) -> networking.v1.NetworkPolicyPeerArgs:
    return networking.v1.NetworkPolicyPeerArgs(
        ip_block=networking.v1.IPBlockArgs(cidr=block, except_=list(without) or None)
    )


def _port(protocol: str, port: int) -> networking.v1.NetworkPolicyPortArgs:
    return networking.v1.NetworkPolicyPortArgs(protocol=protocol, port=port)


def _address(status: Any) -> str:
    """The load balancer's address; empty while it has none."""
    balancer = status.load_balancer if status is not None else None
    ingress = balancer.ingress if balancer is not None else None
    return str(ingress[0].ip) if ingress else ""
