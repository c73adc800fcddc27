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


def service(dev: Lab, name: str = "web") -> dict[str, Any]:
    return only([one for one in dev.get("v1/services") if one["metadata"]["name"] == name])


def deployment(dev: Lab) -> dict[str, Any]:
    return only(dev.get("apps/v1/deployments"))


def keys_secret(dev: Lab) -> dict[str, Any]:
    return only([one for one in dev.get("v1/secrets") if one["metadata"]["name"] == "web-keys"])


def web_image(dev: Lab) -> str:
    containers = deployment(dev)["spec"]["template"]["spec"]["containers"]
    return next(one["image"] for one in containers if one["name"] == "web")


def assert_serving(dev: Lab, *, is_public: bool = False, node_pools: int = 1) -> None:
    """One of each, and all pods ready and of the same template.

    is_public: whether the web service has a load balancer.
    """
    status = deployment(dev)["status"]
    assert status["readyReplicas"] == status["updatedReplicas"] == status["replicas"]
    types = {name: service(dev, name)["spec"]["type"] for name in ("web", "model-server")}
    expected = "LoadBalancer" if is_public else "ClusterIP"
    assert types == {"web": expected, "model-server": "ClusterIP"}
    assert bool(service(dev)["status"]["loadBalancer"].get("ingress")) == is_public
    assert len(dev.google.resources("ForwardingRule")) == is_public
    assert dev.registry.images() == {web_image(dev)}
    only(dev.get("monitoring.googleapis.com/v1/podmonitorings"))
    only(dev.get("policy/v1/poddisruptionbudgets"))
    only(dev.get("autoscaling/v2/horizontalpodautoscalers"))
    only(dev.get("networking.k8s.io/v1/networkpolicies"))
    for kind in ("Cluster", "Network", "Bucket", "Repository"):
        assert len(dev.google.resources(kind)) == 1, kind
    assert len(dev.google.resources("NodePool")) == node_pools


def assert_unchanged(output: str) -> None:
    summary = output[output.rindex("Resources:") :]
    assert "unchanged" in summary
    for word in ("created", "updated", "replaced", "deleted"):
        assert word not in summary, output


def assert_nothing_left(dev: Lab) -> None:
    assert dev.google.left() == []
    assert dev.registry.images() == set()
    wait_until(dev.is_empty, "the end of what the cluster held")
    state = dev.state()
    assert not state.get("resources") and not state.get("pending_operations"), state
