"""The stack `dev` from its first `up` to its last `destroy`, with its accidents in between.

Runs wherever the official CLI, the Kubernetes provider and a control plane are on PATH. Google
Cloud, the nodes and the bucket are stand-ins.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.gke.lab import MISSING, Lab
from tests.processes import wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(MISSING), reason=f"not on PATH: {', '.join(MISSING)}"),
]

BROKEN_DIGEST = f"sha256:{'0' * 64}"


def only(found: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(found) == 1, [one["metadata"]["name"] for one in found]
    return found[0]


def deployment(dev: Lab) -> dict[str, Any]:
    return only(dev.get("apps/v1/deployments"))


def assert_serving(dev: Lab) -> None:
    """One Deployment, whose pods are all ready and of the same template; one load balancer."""
    status = deployment(dev)["status"]
    assert status["readyReplicas"] == status["updatedReplicas"] == status["replicas"]
    assert only(dev.get("v1/services"))["status"]["loadBalancer"]["ingress"]
    assert len(dev.google.resources("Cluster")) == 1
    assert len(dev.google.resources("ForwardingRule")) == 1


def assert_unchanged(dev: Lab, step: str) -> None:
    assert_no_change(dev.up(step=step))


def assert_no_change(output: str) -> None:
    summary = output[output.rindex("Resources:") :]
    assert "unchanged" in summary
    for word in ("created", "updated", "replaced", "deleted"):
        assert word not in summary, output


def assert_nothing_left(dev: Lab) -> None:
    assert dev.google.left() == []
    wait_until(dev.is_empty, "the end of what the cluster held")
    assert dev.resources() == []


def test_it_comes_up_once_follows_its_settings_and_goes_without_a_trace(dev: Lab) -> None:
    dev.up(step="first up")
    assert_serving(dev)
    assert_unchanged(dev, "up without changes")
    assert_no_change(dev.pulumi("refresh", "--yes", step="refresh"))

    first = deployment(dev)["metadata"]
    dev.set(queue=5)
    dev.up(step="changed queue")
    assert_serving(dev)
    assert deployment(dev)["metadata"]["uid"] == first["uid"]
    assert_unchanged(dev, "up after a changed queue")

    (bucket,) = dev.storage.buckets.values()
    before = set(bucket)
    dev.set(steps=12)
    dev.up(step="changed model")
    assert_serving(dev)
    # The old model is deleted once the new one serves.
    assert not before & set(bucket)

    service = only(dev.get("v1/services"))["metadata"]["uid"]
    dev.set(internal=True)
    dev.up(step="internal load balancer")
    assert_serving(dev)
    assert only(dev.get("v1/services"))["metadata"]["uid"] != service
    (rule,) = dev.google.resources("ForwardingRule").values()
    assert rule["scheme"] == "INTERNAL"

    dev.down()
    assert_nothing_left(dev)
    dev.set(steps=30, internal=False)
    dev.up(step="up after down")
    assert_serving(dev)
    dev.down(step="second down")
    assert_nothing_left(dev)
    print(dev.seconds)


def test_a_rollout_whose_pods_fail_is_given_up_and_the_old_pods_stay(dev: Lab) -> None:
    dev.up(step="first up")
    dev.nodes.broken[BROKEN_DIGEST] = "CrashLoopBackOff"
    dev.set(imageDigest=BROKEN_DIGEST)
    output = dev.up(code=1, step="crash loop")
    assert "CrashLoopBackOff" in output
    assert dev.seconds["crash loop"] < 180

    dev.set(imageDigest="")
    dev.up(step="setting restored")
    assert_serving(dev)
    assert_unchanged(dev, "up without changes")
    dev.down()
    assert_nothing_left(dev)
    print(dev.seconds)


def test_an_up_interrupted_while_the_cluster_is_made_goes_on_where_it_was(dev: Lab) -> None:
    dev.google.order("create", "Cluster", "hang after")
    process = dev.start("up", "--yes", "--refresh")
    dev.wait_for_call("hanging")
    dev.interrupt(process)
    dev.up(step="up after an interruption")
    assert_serving(dev)
    assert_unchanged(dev, "up without changes")
    dev.down()
    assert_nothing_left(dev)


def test_an_up_killed_during_the_first_rollout_is_taken_up_by_the_next(dev: Lab) -> None:
    dev.nodes.broken[""] = "ContainerCreating"
    process = dev.start("up", "--yes", "--refresh")
    wait_until(lambda: bool(dev.get("apps/v1/deployments")), "the Deployment", 180)
    wait_until(lambda: bool(dev.get("v1/pods")), "its pod", 30)
    dev.kill(process)
    dev.nodes.broken.clear()
    dev.up(step="up after a kill")
    assert_serving(dev)
    assert_unchanged(dev, "up without changes")
    dev.down()
    assert_nothing_left(dev)


def test_a_refused_request_is_repeated_by_the_next_up(dev: Lab) -> None:
    dev.google.order("create", "Bucket", "forbidden")
    output = dev.up(code=1, step="403")
    assert "Error 403" in output
    dev.up(step="up after a 403")
    assert_serving(dev)
    dev.down()
    assert_nothing_left(dev)


def test_another_location_is_refused_before_anything_changes(dev: Lab) -> None:
    dev.up(step="first up")
    calls = len(dev.google.calls())
    dev.set(location="us-east1-b")
    output = dev.up(code=1, step="changed location")
    assert "make down" in output
    assert len(dev.google.calls()) == calls
    dev.set(location="us-central1-c")
    assert_unchanged(dev, "location restored")
    dev.down()
    assert_nothing_left(dev)


@pytest.mark.parametrize("kind", ["Cluster", "NodePool", "Network"])
def test_a_down_that_is_refused_once_is_finished_by_the_next(dev: Lab, kind: str) -> None:
    dev.up(step="first up")
    dev.google.order("delete", kind, "in use")
    assert "already being used" in dev.down(code=1, step="refused")
    dev.down(step="down again")
    assert_nothing_left(dev)


def test_an_interrupted_down_is_finished_by_the_next(dev: Lab) -> None:
    dev.up(step="first up")
    dev.google.order("delete", "Cluster", "hang after")
    process = dev.start("destroy", "--yes", "--refresh")
    dev.wait_for_call("hanging")
    dev.interrupt(process)
    dev.down(step="down again")
    assert_nothing_left(dev)


def test_a_killed_down_is_finished_by_the_next(dev: Lab) -> None:
    dev.up(step="first up")
    dev.google.order("delete", "NodePool", "hang")
    process = dev.start("destroy", "--yes", "--refresh")
    dev.wait_for_call("hanging")
    dev.kill(process)
    dev.down(step="down again")
    assert_nothing_left(dev)
