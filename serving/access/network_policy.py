"""Who may open connections to the pods, and to whom the pods may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pulumi_kubernetes import meta, networking

from infra.settings.access import Api
from serving.names import PORTS, WEB_METRICS_PORT, WEB_PORT

CLIENT_LABEL = "diffusion-serving/client"
"""Namespaces with this label set to "true" may use the service."""
COLLECTORS = ("gmp-system", "gke-gmp-system")
"""Namespaces of Managed Prometheus' collectors, which read the metrics."""
_METADATA_SERVER = (("169.254.169.252/32", 988), ("169.254.169.254/32", 80))
"""Source of workload identity tokens, without and with Dataplane V2 (GKE, "Network policies")."""
_NOT_GOOGLE = ("10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")


def network_policy_spec(
    exposed: Sequence[Api],
    source_ranges: Sequence[str],
    web_ranges: Sequence[str],
    *,
    labels: Mapping[str, str],
    egress: Sequence[networking.v1.NetworkPolicyEgressRuleArgs],
) -> networking.v1.NetworkPolicySpecArgs:
    """In: clients to the web service, and collectors to its metrics; to the model server whoever it
    is exposed to.

    source_ranges: of the exposed model server's clients; web_ranges: of the web service's; labels:
    of the pods; egress: where they may connect to.

    What comes from the node always passes: probes, and `kubectl port-forward`. Pods are selected
    by label, since Dataplane V2 never matches them by their addresses.
    """
    raw_ports = [PORTS[api] for api in exposed]
    opened = ((web_ranges, [WEB_PORT]), (source_ranges, raw_ports))
    return networking.v1.NetworkPolicySpecArgs(
        pod_selector=meta.v1.LabelSelectorArgs(match_labels=dict(labels)),
        policy_types=["Ingress", "Egress"],
        ingress=[
            *(
                ingress([_block(one) for one in ranges], ports)
                for ranges, ports in opened
                if ranges and ports
            ),
            ingress(
                [
                    networking.v1.NetworkPolicyPeerArgs(pod_selector=meta.v1.LabelSelectorArgs()),
                    _namespaces(meta.v1.LabelSelectorArgs(match_labels={CLIENT_LABEL: "true"})),
                ],
                [WEB_PORT, *raw_ports],
            ),
            ingress([in_namespaces(*COLLECTORS)], [WEB_METRICS_PORT]),
        ],
        egress=list(egress),
    )


def ingress(
    peers: Sequence[networking.v1.NetworkPolicyPeerArgs], ports: Sequence[int]
) -> networking.v1.NetworkPolicyIngressRuleArgs:
    return networking.v1.NetworkPolicyIngressRuleArgs(
        from_=list(peers), ports=[_port("TCP", port) for port in ports]
    )


def egress(
    peer: networking.v1.NetworkPolicyPeerArgs, ports: Sequence[int]
) -> networking.v1.NetworkPolicyEgressRuleArgs:
    return networking.v1.NetworkPolicyEgressRuleArgs(
        to=[peer], ports=[_port("TCP", port) for port in ports]
    )


def in_namespaces(*names: str) -> networking.v1.NetworkPolicyPeerArgs:
    """All pods of these namespaces."""
    return _namespaces(
        meta.v1.LabelSelectorArgs(
            match_expressions=[
                meta.v1.LabelSelectorRequirementArgs(
                    key="kubernetes.io/metadata.name", operator="In", values=list(names)
                )
            ]
        )
    )


def to_dns() -> networking.v1.NetworkPolicyEgressRuleArgs:
    """To any address: the cluster's DNS has one on each node, which no label selects."""
    return networking.v1.NetworkPolicyEgressRuleArgs(ports=[_port("UDP", 53), _port("TCP", 53)])


def to_the_model() -> list[networking.v1.NetworkPolicyEgressRuleArgs]:
    """DNS, tokens, storage."""
    return [
        to_dns(),
        *(egress(_block(address), [port]) for address, port in _METADATA_SERVER),
        # Google's storage API has no address range of its own.
        egress(_block("0.0.0.0/0", _NOT_GOOGLE), [443]),
    ]


def _block(block: str, without: Sequence[str] = ()) -> networking.v1.NetworkPolicyPeerArgs:
    return networking.v1.NetworkPolicyPeerArgs(
        ip_block=networking.v1.IPBlockArgs(cidr=block, except_=list(without) or None)
    )


def _namespaces(selector: meta.v1.LabelSelectorArgs) -> networking.v1.NetworkPolicyPeerArgs:
    return networking.v1.NetworkPolicyPeerArgs(namespace_selector=selector)


def _port(protocol: str, port: int) -> networking.v1.NetworkPolicyPortArgs:
    return networking.v1.NetworkPolicyPortArgs(protocol=protocol, port=port)
