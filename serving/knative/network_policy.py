"""Who may connect to the workers, and to whom the front may."""

from __future__ import annotations

from pulumi_kubernetes import meta, networking

from infra.gke.knative.configuration import NAMESPACE
from serving.access.network_policy import (
    COLLECTORS,
    egress,
    in_namespaces,
    ingress,
    to_dns,
    to_the_model,
)
from serving.names import WEB_METRICS_PORT, WORKER_LABELS

KNATIVE_SERVING = NAMESPACE
"""The namespace of Knative's own pods."""
_QUEUE_PROXY = (8012, 8013, 8112)
"""The ports at which the container that Knative adds to a pod takes requests."""
_AUTOSCALER_METRICS = 9090
REQUEST_METRICS = 9091
_GATEWAY = (8081, 8444)
"""The ports of Kourier's gateway for clients in the cluster."""


def worker_policy() -> networking.v1.NetworkPolicySpecArgs:
    """In: Knative's requests, and whoever reads metrics. Out: DNS, tokens, storage."""
    return networking.v1.NetworkPolicySpecArgs(
        pod_selector=meta.v1.LabelSelectorArgs(match_labels=WORKER_LABELS),
        policy_types=["Ingress", "Egress"],
        ingress=[
            ingress([in_namespaces(KNATIVE_SERVING)], [*_QUEUE_PROXY, _AUTOSCALER_METRICS]),
            ingress([in_namespaces(*COLLECTORS)], [WEB_METRICS_PORT, REQUEST_METRICS]),
        ],
        egress=to_the_model(),
    )


def front_egress() -> list[networking.v1.NetworkPolicyEgressRuleArgs]:
    """To the workers, through Knative's gateway."""
    return [to_dns(), egress(in_namespaces(KNATIVE_SERVING), _GATEWAY)]
