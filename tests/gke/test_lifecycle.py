"""The stack `dev` from its first `up` on, through changed settings and accidents.

Runs wherever the official CLI, the Kubernetes provider and a control plane are on PATH. Google
Cloud, the nodes and the bucket are stand-ins.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.gke.checks import (
    IN_THE_LAB,
    assert_nothing_left,
    assert_serving,
    assert_unchanged,
    keys_secret,
    only,
    service,
)
from tests.gke.lab import PROJECT, PUBLIC, Lab
from tests.processes import wait_until

pytestmark = IN_THE_LAB

BROKEN_DIGEST = f"sha256:{'0' * 64}"
EVERY_IMAGE = ""


def uids(dev: Lab) -> dict[str, str]:
    """Of the objects that must exist once."""
    one_of_each = (
        *("apps/v1/deployments", "policy/v1/poddisruptionbudgets"),
        *("autoscaling/v2/horizontalpodautoscalers", "networking.k8s.io/v1/networkpolicies"),
        "monitoring.googleapis.com/v1/podmonitorings",
    )
    found = {path: only(dev.get(path))["metadata"]["uid"] for path in one_of_each}
    services = {name: service(dev, name)["metadata"]["uid"] for name in ("model-server", "web")}
    return found | services | {"keys": keys_secret(dev)["metadata"]["uid"]}


def forwarded_address(dev: Lab) -> str | None:
    """The reserved address of the load balancer, if it is one."""
    (rule,) = dev.google.resources("ForwardingRule").values()
    return rule["address"]


def test_it_comes_up_once_follows_its_settings_and_goes_without_a_trace(dev: Lab) -> None:
    dev.up(step="first up")
    assert_serving(dev)
    assert_unchanged(dev.up(step="up without changes"))
    assert_unchanged(dev.pulumi("refresh", "--yes", step="refresh"))

    first = uids(dev)
    dev.set(queue=5)
    dev.up(step="changed queue")
    assert_serving(dev)
    # A rollout is forgotten before it begins, but not what depends on it: the address stays.
    assert uids(dev) == first
    assert_unchanged(dev.up(step="up after a changed queue"))

    (bucket,) = dev.storage.buckets.values()
    before = set(bucket)
    dev.set(steps=12)
    dev.up(step="changed model")
    assert_serving(dev)
    assert uids(dev) == first
    # The old model is deleted once the new one serves.
    assert not before & set(bucket)

    dev.down()
    assert_nothing_left(dev)
    dev.set(steps=30)
    dev.up(step="up after down")
    assert_serving(dev)
    dev.down(step="second down")
    assert_nothing_left(dev)


def test_a_rollout_whose_pods_crash_is_given_up_and_the_old_pods_stay(dev: Lab) -> None:
    dev.set(maxReplicas=1)  # two nodes have room for the old pod and the new one
    dev.up(step="first up")
    old = {pod["metadata"]["uid"] for pod in dev.ready_pods()}
    dev.nodes.broken[BROKEN_DIGEST] = "CrashLoopBackOff"
    dev.set(imageDigest=BROKEN_DIGEST)
    output = dev.up(code=1, step="crash loop")
    assert "CrashLoopBackOff" in output and "make doctor STACK=dev" in output
    assert "Traceback" not in output
    assert dev.seconds["crash loop"] < 180
    assert {pod["metadata"]["uid"] for pod in dev.ready_pods()} == old

    dev.set(imageDigest="")
    dev.up(step="setting restored")
    assert_serving(dev)
    assert_unchanged(dev.up(step="up without changes"))
    dev.down()
    assert_nothing_left(dev)


def test_an_up_interrupted_while_the_cluster_is_made_goes_on_where_it_was(dev: Lab) -> None:
    dev.google.order("create", "Cluster", "hang after")
    process = dev.start("up", "--yes", "--refresh")
    dev.wait_for_call("hanging")
    dev.interrupt(process, step="interrupted")
    dev.up(step="up after an interruption")
    assert_serving(dev)
    assert_unchanged(dev.up(step="up without changes"))
    dev.down()
    assert_nothing_left(dev)


@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_an_up_that_ended_during_the_first_rollout_is_taken_up_by_the_next(
    dev: Lab, how: str
) -> None:
    dev.nodes.broken[EVERY_IMAGE] = "ContainerCreating"
    process = dev.start("up", "--yes", "--refresh")
    wait_until(lambda: bool(dev.get("v1/pods")), "the first pod", 180)
    if how == "killed":
        dev.kill(process)
    else:
        dev.interrupt(process, step="interrupted")
    dev.nodes.broken.clear()
    dev.up(step=f"up after it was {how}")
    assert_serving(dev)
    # Until then, every command warns of what was being made.
    dev.pulumi("refresh", "--yes", "--clear-pending-creates", step="cleared")
    assert dev.state().get("pending_operations") is None
    assert_unchanged(dev.up(step="up without changes"))
    dev.down()
    assert_nothing_left(dev)


def test_objects_that_were_made_but_are_not_in_the_state_are_adopted(dev: Lab) -> None:
    dev.up(step="first up")
    found = uids(dev)
    # As after a kill between the API server's answer and the write of the state.
    (namespace,) = (
        one["urn"]
        for one in dev.state()["resources"]
        if one["type"] == "kubernetes:core/v1:Namespace"
    )
    dev.pulumi("state", "delete", namespace, "--target-dependents", "--yes", step="forget")
    dev.up(step="adopted")
    assert_serving(dev)
    assert uids(dev) == found
    dev.down()
    assert_nothing_left(dev)


def test_a_refused_request_is_repeated_by_the_next_up(dev: Lab) -> None:
    dev.google.order("create", "Bucket", "forbidden")
    assert "Error 403" in dev.up(code=1, step="403")
    dev.up(step="up after a 403")
    assert_serving(dev)


@pytest.mark.parametrize("kind", ["Network", "Cluster"])
def test_an_api_that_was_just_enabled_is_waited_for(dev: Lab, kind: str) -> None:
    dev.google.order("create", kind, "not enabled")
    assert "waits for the API" in dev.up(step="API not enabled once")
    assert_serving(dev)


def test_another_location_is_refused_before_anything_changes(dev: Lab) -> None:
    dev.up(step="first up")
    before: Any = dev.google.calls(), dev.google.resources()
    dev.set(location="us-east1-b")
    output = dev.up(code=1, step="changed location")
    assert "make down" in output and "Traceback" not in output
    assert (dev.google.calls(), dev.google.resources()) == before
    dev.set(location="us-central1-c")
    assert_unchanged(dev.up(step="location restored"))


def test_a_load_balancer_comes_and_goes_and_releases_its_static_address(dev: Lab) -> None:
    dev.set(**PUBLIC, loadBalancerAddress="static")
    dev.up(step="static address")
    assert_serving(dev, is_public=True)
    balanced = service(dev)["metadata"]["uid"]
    (address,) = dev.google.resources("Address")
    assert forwarded_address(dev) == address

    dev.set(allowPlainHttp=False)
    dev.up(step="private")
    wait_until(lambda: not dev.google.resources("ForwardingRule"), "no load balancer")
    assert_serving(dev)
    dev.set(allowPlainHttp=True)
    dev.up(step="public again")
    assert_serving(dev, is_public=True)
    assert service(dev)["metadata"]["uid"] == balanced

    dev.set(loadBalancerAddress="ephemeral")
    dev.up(step="ephemeral address")
    assert_serving(dev, is_public=True)
    assert forwarded_address(dev) is None and not dev.google.resources("Address")

    balanced = service(dev)["metadata"]["uid"]
    dev.set(internal=True)
    dev.up(step="internal load balancer")
    assert_serving(dev, is_public=True)
    # A load balancer does not change its kind in place.
    assert service(dev)["metadata"]["uid"] != balanced
    (rule,) = dev.google.resources("ForwardingRule").values()
    assert rule["scheme"] == "INTERNAL"
    dev.down()
    assert_nothing_left(dev)


def test_an_address_of_ones_own_is_used_and_stays(dev: Lab) -> None:
    address = f"projects/{PROJECT}/regions/us-central1/addresses/mine"
    with dev.google.changing() as resources:
        resources[address] = {"kind": "Address", "name": "mine", "address": "127.9.8.6"}
    dev.set(**PUBLIC, loadBalancerAddress="mine")
    dev.up(step="own address")
    assert_serving(dev, is_public=True)
    assert forwarded_address(dev) == address
    dev.down()
    assert dev.google.left() == [address]
