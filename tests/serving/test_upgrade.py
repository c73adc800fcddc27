"""A cluster of the code before the web service: an `up` goes on with all of its objects."""

from __future__ import annotations

import pytest

from render.recorder import Registered
from tests.stacks import GKE_STACKS, run_of, service

SERVICE = "diffusion:serving:ModelService"
EARLIER = {
    f"{SERVICE}::diffusion",
    f"{SERVICE}$diffusion:serving:Access::diffusion",
    f"{SERVICE}$diffusion:serving:Access$kubernetes:core/v1:Service::diffusion",
    f"{SERVICE}$diffusion:serving:Access$kubernetes:networking.k8s.io/v1:NetworkPolicy::diffusion",
    f"{SERVICE}$diffusion:serving:AutoscaledDeployment::diffusion",
    f"{SERVICE}$diffusion:serving:AutoscaledDeployment$kubernetes:apps/v1:Deployment::diffusion",
    f"{SERVICE}$diffusion:serving:AutoscaledDeployment"
    "$kubernetes:autoscaling/v2:HorizontalPodAutoscaler::diffusion",
    f"{SERVICE}$diffusion:serving:AutoscaledDeployment"
    "$kubernetes:policy/v1:PodDisruptionBudget::diffusion",
    f"{SERVICE}$diffusion:serving:AutoscaledDeployment"
    "$pulumi-python:dynamic/diffusion:Rollout::diffusion",
    f"{SERVICE}$diffusion:serving:Namespace::diffusion",
    f"{SERVICE}$diffusion:serving:Namespace$kubernetes:core/v1:Namespace::diffusion",
    f"{SERVICE}$diffusion:serving:Namespace$kubernetes:core/v1:ServiceAccount::diffusion",
    f"{SERVICE}$kubernetes:core/v1:ConfigMap::diffusion",
}
"""What its state names; Google Cloud's resources are the same."""


def registered(stack: str) -> set[str]:
    """The end of each resource's URN: the types of its parents and its own, and its name."""
    resources = {one.urn: one for one in run_of(stack).resources}

    def types(one: Registered) -> str:
        parent = resources.get(one.parent)
        return f"{types(parent)}${one.type}" if parent else one.type

    return {f"{types(one)}::{one.name}" for one in resources.values()}


@pytest.mark.parametrize("stack", GKE_STACKS)
def test_an_earlier_clusters_objects_keep_their_urns_and_names(stack: str) -> None:
    assert registered(stack) >= EARLIER
    assert run_of(stack).one("Deployment").inputs["metadata"]["name"] == "model-server"
    selector = run_of(stack).one("Deployment").inputs["spec"]["selector"]["matchLabels"]
    assert selector == {
        "app.kubernetes.io/name": "model-server",
        "app.kubernetes.io/part-of": "diffusion-serving",
    }, "a selector cannot change, so that another one would replace the Deployment"


@pytest.mark.parametrize("stack", GKE_STACKS)
def test_an_earlier_clusters_load_balancer_is_kept_in_place_or_taken_away_in_place(
    stack: str,
) -> None:
    kept, gone = service(run_of(stack, exposeModelServer="true")), service(run_of(stack))
    assert kept.urn == gone.urn
    assert kept.inputs["metadata"] == gone.inputs["metadata"]
    assert kept.inputs["spec"]["type"] == "LoadBalancer"
    assert gone.inputs["spec"]["type"] == "ClusterIP"
    assert "spec.type" not in gone.replace_on_changes
