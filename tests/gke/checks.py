"""What the tests of the stack `dev` expect of the cluster, and of what is left of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gke.lab import MISSING, Lab
from tests.processes import wait_until

IN_THE_LAB = [
    pytest.mark.long,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(bool(MISSING), reason=f"not on PATH: {', '.join(MISSING)}"),
]


def only(found: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(found) == 1, [one["metadata"]["name"] for one in found]
    return found[0]


def deployment(dev: Lab) -> dict[str, Any]:
    return only(dev.get("apps/v1/deployments"))


def assert_serving(dev: Lab, node_pools: int = 1) -> None:
    """One of each, and all pods ready and of the same template."""
    status = deployment(dev)["status"]
    assert status["readyReplicas"] == status["updatedReplicas"] == status["replicas"]
    assert only(dev.get("v1/services"))["status"]["loadBalancer"]["ingress"]
    only(dev.get("policy/v1/poddisruptionbudgets"))
    only(dev.get("autoscaling/v2/horizontalpodautoscalers"))
    only(dev.get("networking.k8s.io/v1/networkpolicies"))
    for kind in ("Cluster", "Network", "Bucket", "ForwardingRule"):
        assert len(dev.google.resources(kind)) == 1, kind
    assert len(dev.google.resources("NodePool")) == node_pools


def assert_unchanged(output: str) -> None:
    summary = output[output.rindex("Resources:") :]
    assert "unchanged" in summary
    for word in ("created", "updated", "replaced", "deleted"):
        assert word not in summary, output


def assert_nothing_left(dev: Lab) -> None:
    assert dev.google.left() == []
    wait_until(dev.is_empty, "the end of what the cluster held")
    state = dev.state()
    assert not state.get("resources") and not state.get("pending_operations"), state
