"""Common problems on a cluster that the GKE stacks solve: a test for each."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format

from model_export.resource import ModelExportProvider
from policy import rules
from render.recorder import Run
from tests.policy_resources import resources_of
from tests.stacks import (
    GKE_STACKS,
    container,
    goes_before,
    kubernetes_objects,
    pod_spec,
    run_of,
    server_flags,
    service,
)
from tfserving.config_files_pb2 import BatchingParameters


@pytest.fixture(params=GKE_STACKS)
def run(request: pytest.FixtureRequest) -> Run:
    return run_of(request.param)


def test_concurrent_requests_run_one_at_a_time_and_excess_ones_are_refused(run: Run) -> None:
    text = run.one("ConfigMap").inputs["data"]["batching.config"]
    batching = text_format.Parse(text, BatchingParameters())
    assert batching.num_batch_threads.value == 1
    assert batching.max_execution_batch_size.value == 1
    assert 1 <= batching.max_enqueued_batches.value <= 1000
    assert run.one("HorizontalPodAutoscaler").inputs["spec"]["maxReplicas"] > 1


def test_a_partial_upload_is_never_loaded_and_a_new_model_is_a_rolling_update() -> None:
    before, after = run_of("dev"), run_of("dev", steps="25")
    old, new = before.one("ModelExport"), after.one("ModelExport")
    assert old.outputs["uri"] != new.outputs["uri"]
    # The folder is complete before pods read it, and is deleted after them.
    assert goes_before(after, "Deployment", "ModelExport")
    diff = ModelExportProvider().diff("id", old.inputs, new.inputs)
    assert diff.replaces and diff.delete_before_replace is False
    paths = [one.one("ConfigMap").inputs["data"]["MODEL_PATH"] for one in (before, after)]
    assert paths == [old.outputs["uri"], new.outputs["uri"]]
    assert server_flags(after)["file_system_poll_wait_seconds"] == "0"


def test_going_back_to_the_old_model_gives_the_same_graph() -> None:
    again = run_of("dev", steps="30")
    assert again.one("ModelExport").inputs == run_of("dev").one("ModelExport").inputs
    assert again.one("ConfigMap").inputs == run_of("dev").one("ConfigMap").inputs


def test_pods_can_read_that_bucket_only(run: Run) -> None:
    grants = [r for r in run.resources if "IAM" in r.type and "member" in r.inputs]
    to_pods = [r for r in grants if "workloadIdentityPools" in r.inputs["member"]]
    (only,) = to_pods
    assert only.type == "gcp:storage/bucketIAMMember:BucketIAMMember"
    assert only.inputs["bucket"] == run.outputs["bucket"]
    assert only.inputs["role"] == "roles/storage.objectViewer"
    assert run.outputs["modelUri"].startswith(f"gs://{run.outputs['bucket']}/")
    assert goes_before(run, "Deployment", only)


@pytest.mark.parametrize("stack", GKE_STACKS)
@pytest.mark.parametrize("protected", [True, False])
def test_one_setting_drives_all_protection_flags(stack: str, protected: bool) -> None:
    run = run_of(stack, deletionProtection=str(protected).lower())
    cluster = run.one("gcp:container/cluster:Cluster")
    bucket = run.one("gcp:storage/bucket:Bucket")
    namespace = run.one("kubernetes:core/v1:Namespace")
    assert {r.urn for r in run.resources if r.protect} == (
        {cluster.urn, bucket.urn, namespace.urn} if protected else set()
    )
    assert cluster.inputs["deletionProtection"] is protected
    assert bucket.inputs["forceDestroy"] is not protected
    assert (rules.protected(resources_of(run)) == []) is protected


def test_destroy_leaves_no_load_balancer_behind(run: Run) -> None:
    for one in run.of("kubernetes:core/v1:Service"):
        for later in ("gcp:container/nodePool:NodePool", "gcp:container/cluster:Cluster"):
            assert goes_before(run, one, later)
        assert goes_before(run, one, "gcp:compute/network:Network")
    for one in kubernetes_objects(run):
        assert goes_before(run, one, "pulumi:providers:kubernetes")


def test_a_script_drains_and_stops_the_server_which_ignores_sigterm(run: Run) -> None:
    assert container(run)["command"][:2] == ["/bin/bash", "/etc/model-server/start.sh"]
    timeout = run.outputs["limits"]["requestTimeoutSeconds"]
    assert pod_spec(run)["terminationGracePeriodSeconds"] > timeout


def test_threads_are_set_explicitly_since_the_server_ignores_cpu_limits(run: Run) -> None:
    found = server_flags(run)
    assert (
        found["tensorflow_intra_op_parallelism"] == container(run)["resources"]["requests"]["cpu"]
    )
    assert {"rest_api_num_threads", "grpc_max_threads", "tensorflow_inter_op_parallelism"} <= set(
        found
    )


def test_only_its_web_service_reaches_the_server_which_nested_json_can_crash(run: Run) -> None:
    assert rules.no_open_ranges(resources_of(run)) == []
    ports = {int(port["port"]) for rule in _ingress(run) for port in rule["ports"]}
    assert ports == {8080, 8081}


@pytest.mark.parametrize("stack", GKE_STACKS)
def test_only_given_ranges_reach_an_exposed_server(stack: str) -> None:
    run = run_of(stack, exposeModelServer="true")
    assert rules.no_open_ranges(resources_of(run)) == []
    ranges = service(run).inputs["spec"]["loadBalancerSourceRanges"]
    peers = [peer for rule in _ingress(run) for peer in rule["from"]]
    assert [peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer] == ranges


def _ingress(run: Run) -> list[dict[str, Any]]:
    return run.one("NetworkPolicy").inputs["spec"]["ingress"]


def test_a_pod_larger_than_a_node_is_refused_before_anything_is_created() -> None:
    import pulumi

    with pytest.raises(pulumi.RunError, match=r"^memoryRequestGib: 16 GiB do not fit on n2-"):
        run_of("dev", memoryRequestGib="16")
