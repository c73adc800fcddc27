"""The wait for a Deployment's pods, against an API server of the test."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.workloads import rollout_wait
from serving.workloads.rollout_wait import RolloutError, RolloutWait, wait_until_served
from tests.serving.kubernetes_api.api_stub import APPS, DEPLOYMENT, NAMESPACE, ApiStub, api_stub
from tests.serving.workloads.cluster_objects import (
    NEW,
    OLD,
    POD,
    RUNNING,
    SERVING,
    Cluster,
    container,
    crashed_in_a_minute,
    deployment,
    pod,
)

SERVED = Cluster(deployment(available=1), pods=[pod(SERVING)])
STARTING = Cluster(pods=[pod(container(RUNNING))])


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[ApiStub]:
    with api_stub(tmp_path) as found:
        yield found


def show(stub: ApiStub, *moments: Cluster) -> None:
    """What the API answers in turn; the last for good."""
    left = list(moments)

    def next_deployment() -> dict[str, Any]:
        now = left.pop(0) if len(left) > 1 else left[0]
        stub.objects[f"{APPS}/replicasets"] = now.replica_sets
        stub.objects[f"{NAMESPACE}/pods"] = now.pods
        stub.objects[f"{NAMESPACE}/events"] = now.events
        return now.deployment

    stub.objects[DEPLOYMENT] = next_deployment


def run(stub: ApiStub, deadline: int = 60, cancelled: threading.Event | None = None) -> list[str]:
    said: list[str] = []
    wait = RolloutWait(stub.kubeconfig(), "diffusion-serving", "model-server", deadline, "dev")
    wait_until_served(wait, said.append, cancelled or threading.Event(), poll_seconds=0.01)
    return [re.sub(r" \([0-9]+ s\)$", "", line) for line in said]


def failure(stub: ApiStub, deadline: int = 60) -> str:
    with pytest.raises(RolloutError) as caught:
        run(stub, deadline)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_it_says_one_line_for_each_change_and_ends_when_all_pods_serve(stub: ApiStub) -> None:
    show(stub, STARTING, STARTING, STARTING, SERVED)
    assert run(stub) == [
        f"0 of 1 new pod ready; {POD}: model-server starts",
        "1 of 1 new pod ready",
    ]


def test_it_asks_for_the_deployments_own_pods_only(stub: ApiStub) -> None:
    show(stub, SERVED)
    run(stub)
    (path,) = (one for one in stub.requests if "/pods?" in one)
    assert "labelSelector=app.kubernetes.io%2Fname%3Dmodel-server%2C" in path


def test_a_first_rollout_that_cannot_succeed_names_the_doctor(stub: ApiStub) -> None:
    show(stub, Cluster(replica_sets=[NEW], pods=[pod(crashed_in_a_minute())]))
    assert failure(stub) == (
        f"the pods do not serve: {POD}: container model-server ended 3 times (CrashLoopBackOff), "
        "the last time with exit code 1; run `make doctor STACK=dev`"
    )


@pytest.mark.parametrize(
    ("serving", "text"),
    [(0, "no old pod serves"), (1, "1 old pod still serves"), (2, "2 old pods still serve")],
)
def test_a_later_one_says_which_old_pods_serve_and_how_to_go_back(
    stub: ApiStub, serving: int, text: str
) -> None:
    old = [pod(SERVING, name=f"model-server-{n}", owner="old") for n in range(serving)]
    show(stub, Cluster(replica_sets=[OLD, NEW], pods=[pod(crashed_in_a_minute()), *old]))
    assert failure(stub).endswith(
        f"; {text}, and nothing was rolled back: run `make doctor STACK=dev`, or restore the "
        "setting and run `make up STACK=dev`"
    )


def test_the_deadline_bounds_the_wait(stub: ApiStub) -> None:
    show(stub, STARTING)
    assert f" s, 0 of 1 new pod ready; {POD}: model-server starts" in failure(stub, 0)


def test_an_outage_of_the_api_is_survived(stub: ApiStub) -> None:
    show(stub, SERVED)
    stub.failures = [(503, {"message": "the server is starting"})] * 3
    assert run(stub) == [
        "the Kubernetes API answers 503: the server is starting",
        "1 of 1 new pod ready",
    ]


def test_an_outage_that_lasts_ends_the_wait(stub: ApiStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_wait, "_OUTAGE_SECONDS", 0)
    stub.failures = [(503, {"message": "the server is starting"})] * 9
    assert failure(stub) == (
        "the Kubernetes API answers 503: the server is starting; run `make doctor STACK=dev`"
    )


def test_a_refusal_of_the_api_ends_the_wait_at_once(stub: ApiStub) -> None:
    stub.failures = [(403, {"message": "deployments is forbidden"})]
    assert failure(stub).startswith("the Kubernetes API answers 403: deployments is forbidden; ")
    assert len(stub.requests) == 1


def test_missing_credentials_end_the_wait_at_once(stub: ApiStub) -> None:
    stub.plugin.unlink()
    assert "is not installed" in failure(stub)


@pytest.mark.parametrize("deleting", [False, True])
def test_a_deployment_that_is_deleted_meanwhile_ends_the_wait(
    stub: ApiStub, deleting: bool
) -> None:
    gone = Cluster(deployment())
    gone.deployment["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    if deleting:
        show(stub, gone)
    assert failure(stub).startswith("the Deployment model-server was deleted meanwhile: run")


def test_a_cancelled_wait_ends_at_once_and_says_how_to_go_on(stub: ApiStub) -> None:
    show(stub, STARTING)
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(RolloutError, match="`make up STACK=dev` waits for them"):
        run(stub, cancelled=cancelled)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (3600, "60 min")]
)
def test_durations_are_seconds_then_minutes(seconds: float, text: str) -> None:
    assert rollout_wait.duration(seconds) == text
