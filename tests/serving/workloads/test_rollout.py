"""`Rollout` in the process that Pulumi starts for dynamic providers, and in the program's graph."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from render import placeholders
from render.recorder import Run
from serving.workloads.rollout import RolloutProvider
from tests.model_export.dynamic_server import DynamicServer, dynamic_server
from tests.serving.kubernetes_api.api_stub import APPS, DEPLOYMENT, NAMESPACE, ApiStub, api_stub
from tests.serving.workloads.cluster_objects import (
    RUNNING,
    SERVING,
    Cluster,
    container,
    deployment,
    pod,
    waiting,
)
from tests.stacks import GKE_STACKS, goes_before, run_of

ROLLOUT = "pulumi-python:dynamic/diffusion:Rollout"


@pytest.fixture(params=GKE_STACKS)
def run(request: pytest.FixtureRequest) -> Run:
    return run_of(request.param)


@pytest.fixture(scope="module")
def provider() -> Iterator[DynamicServer]:
    with dynamic_server(os.environ) as server:
        yield server


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[ApiStub]:
    with api_stub(tmp_path) as found:
        yield found


def show(stub: ApiStub, cluster: Cluster) -> None:
    stub.objects[DEPLOYMENT] = cluster.deployment
    stub.objects[f"{APPS}/replicasets"] = cluster.replica_sets
    stub.objects[f"{NAMESPACE}/pods"] = cluster.pods
    stub.objects[f"{NAMESPACE}/events"] = cluster.events


def inputs(stub: ApiStub, revision: str = "r1") -> dict[str, Any]:
    provider_input = run_of("dev").one(ROLLOUT).inputs["__provider"]
    return {
        "__provider": provider_input,
        "kubeconfig": stub.kubeconfig(),
        "namespace": "diffusion-serving",
        "deployment": "model-server",
        "uid": "deployment-1",
        "revision": revision,
        "deadlineSeconds": 60.0,
        "stack": "dev",
    }


def test_serving_pods_make_a_rollout(stub: ApiStub, provider: DynamicServer) -> None:
    show(stub, Cluster(deployment(available=1), pods=[pod(SERVING)]))
    name, state = provider.create(inputs(stub))
    assert name == "diffusion-serving/model-server"
    assert {key: value for key, value in state.items() if key != "__provider"} == {
        "namespace": "diffusion-serving",
        "deployment": "model-server",
        "uid": "deployment-1",
        "revision": "r1",
    }
    assert provider.lines[-1] == "1 of 1 new pod ready (0 s)"


def test_a_failure_is_one_line_without_a_traceback(stub: ApiStub, provider: DynamicServer) -> None:
    show(stub, Cluster(pods=[pod(container(waiting("InvalidImageName", "no such name")))]))
    with pytest.raises(grpc.RpcError) as caught:
        provider.create(inputs(stub))
    details = caught.value.details()  # type: ignore[attr-defined]
    assert "no such name" in details and "make doctor STACK=dev" in details
    assert "Traceback" not in details and "\n" not in details


def test_a_bug_still_has_its_traceback(stub: ApiStub, provider: DynamicServer) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        provider.create({**inputs(stub), "kubeconfig": "not JSON"})
    assert "Traceback" in caught.value.details()  # type: ignore[attr-defined]


def test_the_engines_request_to_cancel_ends_the_wait_at_once(stub: ApiStub) -> None:
    show(stub, Cluster(pods=[pod(container(RUNNING))]))
    with dynamic_server(os.environ) as provider, ThreadPoolExecutor(1) as other:
        wait = other.submit(provider.create, inputs(stub))
        while not provider.lines:
            assert not wait.done(), wait.exception()
            time.sleep(0.02)
        provider.stub.Cancel(empty_pb2.Empty())
        with contextlib.suppress(TimeoutError):
            wait.exception(timeout=3)
        assert wait.done()
        assert "interrupted: the new pods go on starting" in str(wait.exception())


@pytest.mark.parametrize(
    ("changes", "replaced"),
    [
        ({"revision": "r2"}, ["revision"]),
        ({"uid": "deployment-2"}, ["uid"]),
        ({"kubeconfig": "another", "deadlineSeconds": 5, "stack": "other"}, []),
        ({}, []),
    ],
)
def test_only_another_pod_template_or_deployment_is_waited_for(
    stub: ApiStub, provider: DynamicServer, changes: dict[str, Any], replaced: list[str]
) -> None:
    old = inputs(stub)
    kept = {key: old[key] for key in ("__provider", "namespace", "deployment", "uid", "revision")}
    found = provider.diff("id", kept, {**old, **changes})
    assert list(found.replaces) == replaced
    changed = (
        provider_pb2.DiffResponse.DIFF_SOME if replaced else provider_pb2.DiffResponse.DIFF_NONE
    )
    assert found.changes == changed


def test_the_rollout_before_is_forgotten_first_so_that_a_restored_setting_is_waited_for() -> None:
    found = RolloutProvider().diff("id", {"revision": "r1"}, {"revision": "r2"})
    assert found.delete_before_replace


def test_a_refresh_asks_nobody(stub: ApiStub, provider: DynamicServer) -> None:
    name, state = provider.read("id", inputs(stub))
    assert name == "id" and state["revision"] == "r1"
    assert stub.requests == []


def test_every_part_of_the_pod_template_counts_for_the_revision() -> None:
    def revision(**changes: str) -> str:
        return run_of("dev", **changes).one(ROLLOUT).inputs["revision"]

    same, again = revision(), revision(maxReplicas="1")
    assert same == again
    others = {
        revision(queue="9"),
        revision(requestTimeoutSeconds="99"),
        revision(memoryRequestGib="11"),
        revision(modelAccess="fuse"),
        revision(imageDigest="sha256:" + "0a" * 32),
    }
    assert len({same, *others}) == 6


def test_the_deployment_is_not_waited_for_twice(run: Run) -> None:
    annotations = run.one("Deployment").inputs["metadata"]["annotations"]
    assert annotations == {"pulumi.com/skipAwait": "true"}


def test_clients_and_the_autoscaler_come_after_pods_that_serve(run: Run) -> None:
    for kind in ("kubernetes:core/v1:Service", "HorizontalPodAutoscaler"):
        assert all(goes_before(run, one, ROLLOUT) for one in run.of(kind))
    assert goes_before(run, ROLLOUT, "Deployment")


def test_the_wait_covers_a_rollout_of_all_pods(run: Run) -> None:
    most = run.one("HorizontalPodAutoscaler").inputs["spec"]["maxReplicas"]
    each = run.one("Deployment").inputs["spec"]["progressDeadlineSeconds"]
    assert run.one(ROLLOUT).inputs["deadlineSeconds"] >= most * each


def test_a_rollout_reaches_the_cluster_with_its_kubeconfig(run: Run) -> None:
    found = run.one(ROLLOUT).inputs
    assert found["kubeconfig"] == run.one("pulumi:providers:kubernetes").inputs["kubeconfig"]
    metadata = run.one("Deployment").inputs["metadata"]
    assert (found["namespace"], found["deployment"]) == (metadata["namespace"], metadata["name"])
    assert found["uid"] == placeholders.UID
