"""`make down STACK=dev` that is interrupted, killed or refused leaves what the next one removes."""

from __future__ import annotations

import pytest

from tests.gke.checks import IN_THE_LAB, assert_nothing_left, assert_serving, assert_unchanged
from tests.gke.lab import PUBLIC, Lab
from tests.processes import wait_until

pytestmark = IN_THE_LAB

DELETED = ("Cluster", "Network", "Bucket")


@pytest.mark.parametrize("kind", DELETED)
def test_a_down_that_is_refused_once_is_finished_by_the_next(dev: Lab, kind: str) -> None:
    dev.up(step="first up")
    dev.google.order("delete", kind, "in use")
    assert "already being used" in dev.down(code=1, step="refused")
    assert len(dev.google.resources(kind)) == 1
    dev.down(step="down again")
    assert_nothing_left(dev)


@pytest.mark.parametrize("kind", ["Cluster", "Network"])
def test_an_up_restores_what_a_refused_down_has_removed(dev: Lab, kind: str) -> None:
    dev.up(step="first up")
    dev.google.order("delete", kind, "in use")
    dev.down(code=1, step="refused")
    dev.up(step="up again")
    # The state drops a cluster's nodes before the cluster, which still has them: the pool is made
    # anew beside the first one, and both go with the cluster.
    assert_serving(dev, node_pools=2 if kind == "Cluster" else 1)
    assert_unchanged(dev.up(step="up without changes"))
    dev.down()
    assert_nothing_left(dev)


@pytest.mark.parametrize("how", ["interrupted", "killed"])
@pytest.mark.parametrize("kind", ["Cluster", "Network"])
def test_a_down_that_ended_early_is_finished_by_the_next(dev: Lab, kind: str, how: str) -> None:
    dev.up(step="first up")
    dev.google.order("delete", kind, "hang after")
    process = dev.start("destroy", "--yes", "--refresh")
    dev.wait_for_call("hanging")
    if how == "killed":
        dev.kill(process)
    else:
        dev.interrupt(process, step="interrupted")
    dev.down(step="down again")
    assert_nothing_left(dev)


def test_a_protected_stack_is_not_taken_down(dev: Lab) -> None:
    dev.set(deletionProtection=True)
    dev.up(step="first up")
    before = dev.google.resources()
    assert "protect" in dev.down(code=1, step="protected")
    assert dev.google.resources() == before
    dev.set(deletionProtection=False)
    dev.up(step="protection removed")
    dev.down()
    assert_nothing_left(dev)


def test_make_brings_it_up_and_takes_it_down_with_its_state(dev: Lab) -> None:
    assert "`make page STACK=dev`" in dev.make("up")
    dev.make("down")
    assert dev.google.left() == []
    assert "no stack named 'dev' found" in dev.pulumi("stack", "output", code=1)


def test_a_stack_whose_cluster_was_deleted_by_hand_is_taken_down(dev: Lab) -> None:
    dev.set(**PUBLIC)
    dev.up(step="first up")
    (cluster,) = dev.google.resources("Cluster")
    dev.google.delete(cluster, lambda _bucket: True)
    wait_until(dev.is_empty, "the end of what the cluster held")
    assert "unreachable" in dev.down(code=1, step="unreachable")
    dev.environment["PULUMI_K8S_DELETE_UNREACHABLE"] = "true"
    # Nobody was left to delete the load balancer's rules at Google.
    assert "already being used by" in dev.down(code=1, step="rules left")
    with dev.google.changing() as resources:
        for id_ in [id_ for id_ in resources if id_.startswith(("firewalls/", "forwardingRules/"))]:
            del resources[id_]
    dev.down(step="rules deleted by hand")
    assert_nothing_left(dev)
