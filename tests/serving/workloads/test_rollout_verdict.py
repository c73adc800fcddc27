"""When a rollout is done, goes on, or cannot succeed, by the shapes of the Kubernetes API."""

from __future__ import annotations

from datetime import timedelta

import pytest

from serving.workloads.rollout_verdict import Verdict, remember, verdict
from tests.serving.workloads.cluster_objects import (
    COMPLETED,
    INIT,
    NEW,
    POD,
    RUNNING,
    SERVING,
    START,
    Cluster,
    container,
    deployment,
    event,
    pod,
    terminated,
    waiting,
)

BACK_OFF = waiting("CrashLoopBackOff", "back-off 40s restarting failed container")
NO_ROOM = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available."


def judged(cluster: Cluster, **after: float) -> Verdict:
    """The verdict on a cluster that has looked like this since START."""
    first = remember(cluster.state(), {})
    return verdict(cluster.state(**after), first, START)


def fails(cluster: Cluster, **after: float) -> str:
    found = judged(cluster, **after)
    assert found.failure and not found.done, found.progress
    return found.failure


def goes_on(cluster: Cluster, **after: float) -> str:
    found = judged(cluster, **after)
    assert not found.failure and not found.done, found.failure
    return found.progress


DONE = {
    "all pods are new and available": deployment(desired=2, updated=2, total=2, available=2),
    "no pods are wanted": deployment(desired=0, updated=0, total=0),
    "more pods than wanted, all new": deployment(desired=1, updated=2, total=2, available=2),
}
NOT_DONE = {
    "the controller has not seen the change": deployment(available=1, generation=3),
    "a new pod is missing": deployment(desired=2, updated=1, total=1, available=1),
    "an old pod still counts": deployment(desired=1, updated=1, total=2, available=2),
    "a new pod is not available": deployment(desired=2, updated=2, total=2, available=1),
    "nothing has happened yet": deployment(updated=0, total=0, observed=0),
}


@pytest.mark.parametrize("state", DONE.values(), ids=DONE)
def test_done_as_kubectl_rollout_status_judges(state: dict[str, object]) -> None:
    assert judged(Cluster(state)).done


@pytest.mark.parametrize("state", NOT_DONE.values(), ids=NOT_DONE)
def test_not_done_before(state: dict[str, object]) -> None:
    assert not judged(Cluster(state)).done


def test_a_crash_loop_fails_at_its_third_end_and_names_the_exit_code() -> None:
    once = container(BACK_OFF, last=terminated(1), restarts=1)
    thrice = container(BACK_OFF, last=terminated(1), restarts=2)
    assert goes_on(Cluster(pods=[pod(once)]), hours=1).endswith("with exit code 1")
    failure = fails(Cluster(pods=[pod(thrice)]))
    assert failure == (
        f"{POD}: container model-server ended 3 times (CrashLoopBackOff), the last time "
        "with exit code 1"
    )


def test_a_container_that_runs_again_is_not_given_up() -> None:
    again = container(RUNNING, last=terminated(1), restarts=5)
    assert goes_on(Cluster(pods=[pod(again)])) == (
        f"0 of 1 new pod ready; {POD}: model-server starts"
    )


def test_a_pod_that_crashed_before_the_wait_gets_another_chance() -> None:
    """Its cause may be mended, such as a missing permission, and it restarts every five minutes."""
    crashed = Cluster(pods=[pod(container(BACK_OFF, last=terminated(1), restarts=9))])
    later = START + timedelta(seconds=1)
    assert not verdict(crashed.state(minutes=5), {}, began=later).failure
    assert verdict(crashed.state(minutes=5), {}, began=START).failure


def test_out_of_memory_is_named() -> None:
    killed = container(terminated(137, "OOMKilled"), last=terminated(137, "OOMKilled"), restarts=2)
    assert "exit code 137 (out of memory)" in fails(Cluster(pods=[pod(killed)]))


def test_the_init_container_fails_the_rollout_at_its_second_end() -> None:
    def ends(restarts: int) -> Cluster:
        init = container(BACK_OFF, name=INIT, last=terminated(1), restarts=restarts)
        return Cluster(pods=[pod(container(waiting("PodInitializing")), init=init)])

    assert goes_on(ends(0), hours=1)
    assert "init container wait-for-model ended 2 times (CrashLoopBackOff)," in fails(ends(1))


def test_an_init_container_that_succeeded_is_no_failure() -> None:
    init = container(COMPLETED, name=INIT, restarts=3, ready=True)
    assert goes_on(Cluster(pods=[pod(container(RUNNING), init=init)]), hours=1)


def test_a_sidecar_is_not_taken_for_an_init_container() -> None:
    sidecar = container(RUNNING, name="gke-gcsfuse-sidecar", ready=True)
    server = container(RUNNING)
    shown = goes_on(Cluster(pods=[pod(server, init=sidecar, sidecar="gke-gcsfuse-sidecar")]))
    assert shown.endswith("model-server starts")


LASTING = {
    "image pull": (pod(container(waiting("ImagePullBackOff", "Back-off pulling x"))), 3),
    "image pull error": (pod(container(waiting("ErrImagePull", "rpc error"))), 3),
    "configuration": (
        pod(container(waiting("CreateContainerConfigError", 'configmap "x" not found'))),
        1,
    ),
    "container": (pod(container(waiting("CreateContainerError", "no such command"))), 1),
    "no node": (pod(unschedulable=NO_ROOM), 15),
}


@pytest.mark.parametrize(("found", "minutes"), LASTING.values(), ids=LASTING)
def test_a_trouble_fails_only_once_it_has_lasted(found: dict[str, object], minutes: int) -> None:
    assert goes_on(Cluster(pods=[found]), minutes=minutes, seconds=-1)
    assert fails(Cluster(pods=[found]), minutes=minutes)


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull"])
def test_an_image_that_can_never_be_pulled_fails_at_once(reason: str) -> None:
    broken = container(waiting(reason, "couldn't parse image name"))
    assert "couldn't parse image name" in fails(Cluster(pods=[pod(broken)]))


def test_a_failed_pull_is_explained_by_the_registry() -> None:
    pulling = container(waiting("ImagePullBackOff", "Back-off pulling image"))
    events = [
        event("Failed", 'Failed to pull image "x:1": not found', START),
        event("Failed", "Error: ErrImagePull", START),
        event("BackOff", "Back-off pulling image", START + timedelta(seconds=9)),
    ]
    assert fails(Cluster(pods=[pod(pulling)], events=events), minutes=3).endswith(
        'cannot be pulled (ImagePullBackOff): Failed to pull image "x:1": not found'
    )


def test_a_trouble_that_passes_begins_its_patience_again() -> None:
    pulls = Cluster(pods=[pod(container(waiting("ErrImagePull")))])
    starts = Cluster(pods=[pod(container(RUNNING))])
    seen = remember(pulls.state(), {})
    seen = remember(starts.state(minutes=2), seen)
    seen = remember(pulls.state(minutes=4), seen)
    assert not verdict(pulls.state(minutes=6), seen, START).failure
    assert verdict(pulls.state(minutes=7), seen, START).failure


def test_both_names_of_a_failed_pull_are_one_trouble() -> None:
    first = Cluster(pods=[pod(container(waiting("ErrImagePull")))])
    then = Cluster(pods=[pod(container(waiting("ImagePullBackOff")))])
    seen = remember(first.state(), {})
    seen = remember(then.state(minutes=2), seen)
    assert verdict(then.state(minutes=3), seen, START).failure


def test_a_node_that_is_being_added_prolongs_the_wait() -> None:
    added = event("TriggeredScaleUp", "pod triggered scale-up", START + timedelta(minutes=10))
    cluster = Cluster(pods=[pod(unschedulable=NO_ROOM)], events=[added])
    assert goes_on(cluster, minutes=24).endswith("waits for a node that is being added")
    assert fails(cluster, minutes=25)


def test_the_autoscalers_refusal_shortens_the_wait() -> None:
    refused = event("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size")
    cluster = Cluster(pods=[pod(unschedulable=NO_ROOM)], events=[refused])
    assert goes_on(cluster, minutes=4, seconds=59)
    failure = fails(cluster, minutes=5)
    assert failure == (
        f"{POD}: no node has room: 0/2 nodes are available: 2 Insufficient cpu "
        "(cluster autoscaler: pod didn't trigger scale-up: 1 max node group size)"
    )


def test_a_pod_may_wait_as_long_as_an_old_one_finishes_its_requests() -> None:
    refused = event("NotTriggerScaleUp", "pod didn't trigger scale-up")
    old = pod(SERVING, name="model-server-old", owner="old", deleting=True)
    cluster = Cluster(pods=[pod(unschedulable=NO_ROOM), old], events=[refused])
    assert goes_on(cluster, hours=1).endswith("waits for room that an old pod still uses")


def test_a_volume_that_cannot_be_mounted_fails_after_ten_minutes() -> None:
    unmounted = pod(container(waiting("ContainerCreating")))
    failed = event("FailedMount", "MountVolume.SetUp failed: PermissionDenied")
    assert goes_on(Cluster(pods=[unmounted], events=[failed]), minutes=9)
    assert "PermissionDenied" in fails(Cluster(pods=[unmounted], events=[failed]), minutes=10)
    pulling = event("Pulling", "Pulling image", START + timedelta(minutes=1))
    shown = goes_on(Cluster(pods=[unmounted], events=[failed, pulling]), hours=1)
    assert shown.endswith("pulls its image")


def test_pods_that_may_not_be_made_fail_after_a_minute() -> None:
    refused = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": 'pods "x" is forbidden: exceeded quota: compute',
    }
    cluster = Cluster(deployment(updated=0, total=1, conditions=(refused,)))
    assert goes_on(cluster, seconds=59)
    assert fails(cluster, seconds=60) == "no pod can be made: exceeded quota: compute"


def test_the_controllers_own_deadline_is_no_failure() -> None:
    """It stays from the last attempt until the first pod of the next one is ready."""
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    assert goes_on(Cluster(deployment(conditions=(late,)), pods=[pod(container(RUNNING))]))


def test_troubles_of_old_pods_are_not_the_rollouts() -> None:
    broken = container(BACK_OFF, last=terminated(1), restarts=9)
    old = pod(broken, name="model-server-old", owner="old")
    assert goes_on(Cluster(pods=[old, pod(container(RUNNING))]))
    # Nor are they before the controller has seen the change, when they are the newest.
    unseen = deployment(generation=3, revision="1")
    assert goes_on(Cluster(unseen, pods=[old]))


def test_an_evicted_pod_is_replaced_not_judged() -> None:
    gone = pod(container(terminated(137)), phase="Failed", name="model-server-gone")
    assert goes_on(Cluster(pods=[gone, pod(container(RUNNING))]))


PROGRESS = {
    "waits for a node": (pod(unschedulable=NO_ROOM) | {"status": {}}, ()),
    "pulls its image": (
        pod(container(waiting("PodInitializing")), init=container(waiting("PodInitializing"))),
        (event("Scheduled", "ok"), event("Pulling", "Pulling image")),
    ),
    "runs init container wait-for-model": (
        pod(container(waiting("PodInitializing")), init=container(RUNNING, name=INIT)),
        (event("Pulling", "Pulling image"), event("Pulled", "Pulled image")),
    ),
    "model-server starts": (pod(container(RUNNING)), ()),
    "container model-server ended once, with exit code 2": (
        pod(container(BACK_OFF, last=terminated(2))),
        (),
    ),
    "is set up": (pod(container(waiting("ContainerCreating"))), ()),
}


@pytest.mark.parametrize(("shown", "seen"), PROGRESS.items(), ids=PROGRESS)
def test_progress_says_what_the_pod_does(shown: str, seen: tuple[dict[str, object], ...]) -> None:
    found, events = seen
    progress = goes_on(Cluster(replica_sets=[NEW], pods=[found], events=list(events)))
    assert progress == f"0 of 1 new pod ready; {POD}: {shown}"


def test_progress_counts_the_new_pods_that_are_ready() -> None:
    old = pod(SERVING, name="model-server-old", owner="old")
    state = deployment(desired=2, updated=1, total=2, available=2)
    assert goes_on(Cluster(state, pods=[old, pod(SERVING)])) == (
        "1 of 2 new pods ready; old pods are being replaced"
    )
    old["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    assert goes_on(Cluster(state, pods=[old, pod(SERVING)])) == (
        "1 of 2 new pods ready; old pods finish their requests"
    )
