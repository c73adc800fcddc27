"""What the operator is told of Knative: the resource KnativeServing, field by field.

Names and values are Knative's own (knative/operator, pkg/apis/operator/base; knative/serving,
config/core/configmaps).
"""

from __future__ import annotations

from typing import Any

from infra.gke.knative.versions import ENVOY, KNATIVE
from infra.settings.pod import QUEUE_PROXY
from infra.settings.time_budget import LONGEST_SECONDS

API_VERSION = "operator.knative.dev/v1beta1"
NAMESPACE = "knative-serving"
GATEWAY = "3scale-kourier-gateway"
"""Kourier's gateway: its Deployment, and the label `app` of its pods."""

_ACTIVATOR_CPU = "500m"
_BUDGETS = ("activator-pdb", "webhook-pdb", f"{GATEWAY}-pdb")


def knative_serving(*, most_workers: int, progress_seconds: int, domain: str) -> dict[str, Any]:
    """The spec. domain: below which the workers have an address; empty if they have none."""
    return {
        "version": KNATIVE,
        # Its Service would be open to everyone: the operator sets no source ranges.
        "ingress": {"kourier": {"enabled": True, "service-type": "ClusterIP"}},
        "registry": {"override": {f"{GATEWAY}/kourier-gateway": ENVOY}},
        "high-availability": {"replicas": 1},
        "workloads": [_single_activator()],
        # One pod each, which an eviction replaces; the usual 80 % would keep it on its node.
        "podDisruptionBudgets": [{"name": name, "minAvailable": 0} for name in _BUDGETS],
        "config": {
            "network": {"ingress-class": "kourier.ingress.networking.knative.dev"},
            **({"domain": {domain: ""}} if domain else {}),
            "defaults": {
                "revision-timeout-seconds": str(LONGEST_SECONDS),
                "revision-response-start-timeout-seconds": str(LONGEST_SECONDS),
                "max-revision-timeout-seconds": str(LONGEST_SECONDS),
                "container-concurrency": "1",
            },
            "autoscaler": {
                "container-concurrency-target-percentage": "100",
                "enable-scale-to-zero": "true",
                "max-scale": str(most_workers),
                "max-scale-limit": str(most_workers),
            },
            "deployment": {
                "progress-deadline": f"{progress_seconds}s",
                # A pod waits for its node, which the cluster autoscaler brings.
                "pod-is-always-schedulable": "true",
                "queue-sidecar-cpu-request": f"{QUEUE_PROXY.millicpu}m",
                "queue-sidecar-memory-request": f"{QUEUE_PROXY.memory_mib}Mi",
            },
            "features": _features(),
            "observability": {
                "metrics-protocol": "prometheus",
                "request-metrics-protocol": "prometheus",
            },
        },
    }


def _single_activator() -> dict[str, Any]:
    """Two activators would share out the workers, and one's requests wait while another's are free
    (knative/serving#13331).

    Its autoscaler adds one above 100 % of the CPU request, and the operator cannot take away that
    autoscaler. With a limit that is not above the request, it never gets there.
    """
    cpu = {"cpu": _ACTIVATOR_CPU}
    return {
        "name": "activator",
        "resources": [{"container": "activator", "requests": cpu, "limits": cpu}],
    }


def _features() -> dict[str, str]:
    """What a worker's pod has and Knative does not allow by itself."""
    allowed = (
        "kubernetes.podspec-nodeselector",
        "kubernetes.podspec-tolerations",
        "kubernetes.podspec-securitycontext",
        "kubernetes.podspec-init-containers",
        "kubernetes.podspec-volumes-csi",
        "multi-container-probing",
    )
    return dict.fromkeys(allowed, "enabled")
