"""Who may open connections to the pods, and to whom the pods may."""

from __future__ import annotations

from collections.abc import Sequence

from pulumi_kubernetes import meta, networking

from infra.settings.access import Api
from serving.names import GRPC_PORT, LABELS, PORTS, REST_PORT

CLIENT_LABEL = "diffusion-serving/client"
"""Namespaces with this label set to "true" may use the server."""
_COLLECTORS = ("gmp-system", "gke-gmp-system")
"""Namespaces of Managed Prometheus' collectors, which read the metrics."""
_METADATA_SERVER = (("169.254.169.252/32", 988), ("169.254.169.254/32", 80))
"""Source of workload identity tokens, without and with Dataplane V2 (GKE, "Network policies")."""
_NOT_GOOGLE = ("10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")


def network_policy_spec(
    exposed: Sequence[Api], source_ranges: Sequence[str]
) -> networking.v1.NetworkPolicySpecArgs:
    """In: the clients, and pods that are selected by label, since Dataplane V2 never matches pods
    by their addresses. (Probes from the node always pass.) Out: DNS, tokens, storage.
    """
    outside = [
        networking.v1.NetworkPolicyIngressRuleArgs(
            from_=[_block(one) for one in source_ranges],
            ports=[_port("TCP", PORTS[api]) for api in exposed],
        )
    ]
    return networking.v1.NetworkPolicySpecArgs(
        pod_selector=meta.v1.LabelSelectorArgs(match_labels=LABELS),
        policy_types=["Ingress", "Egress"],
        ingress=[*(outside if exposed else []), *_ingress_from_pods()],
        egress=_egress(),
    )


def _ingress_from_pods() -> list[networking.v1.NetworkPolicyIngressRuleArgs]:
    return [
        networking.v1.NetworkPolicyIngressRuleArgs(
            from_=[
                networking.v1.NetworkPolicyPeerArgs(pod_selector=meta.v1.LabelSelectorArgs()),
                _namespaces(meta.v1.LabelSelectorArgs(match_labels={CLIENT_LABEL: "true"})),
            ],
            ports=[_port("TCP", GRPC_PORT), _port("TCP", REST_PORT)],
        ),
        networking.v1.NetworkPolicyIngressRuleArgs(
            from_=[
                _namespaces(
                    meta.v1.LabelSelectorArgs(
                        match_expressions=[
                            meta.v1.LabelSelectorRequirementArgs(
                                key="kubernetes.io/metadata.name",
                                operator="In",
                                values=list(_COLLECTORS),
                            )
                        ]
                    )
                )
            ],
            ports=[_port("TCP", REST_PORT)],
        ),
    ]


def _egress() -> list[networking.v1.NetworkPolicyEgressRuleArgs]:
    return [
        # To any address: the cluster's DNS has one on each node, which no label selects.
        networking.v1.NetworkPolicyEgressRuleArgs(ports=[_port("UDP", 53), _port("TCP", 53)]),
        *(
            networking.v1.NetworkPolicyEgressRuleArgs(
                to=[_block(address)], ports=[_port("TCP", port)]
            )
            for address, port in _METADATA_SERVER
        ),
        networking.v1.NetworkPolicyEgressRuleArgs(
            # Google's storage API has no address range of its own.
            to=[_block("0.0.0.0/0", _NOT_GOOGLE)],
            ports=[_port("TCP", 443)],
        ),
    ]


def _block(block: str, without: Sequence[str] = ()) -> networking.v1.NetworkPolicyPeerArgs:
    return networking.v1.NetworkPolicyPeerArgs(
        ip_block=networking.v1.IPBlockArgs(cidr=block, except_=list(without) or None)
    )


def _namespaces(selector: meta.v1.LabelSelectorArgs) -> networking.v1.NetworkPolicyPeerArgs:
    return networking.v1.NetworkPolicyPeerArgs(namespace_selector=selector)


def _port(protocol: str, port: int) -> networking.v1.NetworkPolicyPortArgs:
    return networking.v1.NetworkPolicyPortArgs(protocol=protocol, port=port)
