"""The Kubernetes objects of the GKE stacks: pods, their start and stop."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from devserver import flags
from model_export.spec import METRICS_PATH
from render.placeholders import MODEL_BYTES
from render.recorder import ROOT, Run
from serving import timing
from serving.tensorflow_serving.batching import batching_parameters
from serving.tensorflow_serving.flags import QUEUES, SPARE_THREADS
from serving.tensorflow_serving.monitoring import monitoring_config
from tests.stacks import (
    GKE_STACKS,
    container,
    kubernetes_objects,
    pod_spec,
    run_of,
    server_flags,
)
from tfserving.config_files_pb2 import BatchingParameters, MonitoringConfig


@pytest.fixture(params=[*GKE_STACKS, "dev over fuse"])
def run(request: pytest.FixtureRequest) -> Run:
    stack, _, fuse = request.param.partition(" over ")
    return run_of(stack, modelAccess="fuse") if fuse else run_of(stack)


CONTAINERS = ("model-server", "web")


def mib(text: str) -> int:
    assert text.endswith("Mi")
    return int(text[:-2])


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


def test_the_image_has_the_exporters_tensorflow_version(run: Run) -> None:
    image = container(run)["image"]
    (exporter,) = (
        line.removeprefix("tensorflow==")
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line.startswith("tensorflow==")
    )
    assert image == f"tensorflow/serving:{exporter}"


def test_a_digest_is_appended_to_the_tag() -> None:
    digest = "sha256:" + "0a" * 32
    assert container(run_of("dev", imageDigest=digest))["image"].endswith(f":2.20.0@{digest}")


def test_every_flag_exists_in_the_server_and_has_its_type(run: Run) -> None:
    parsed, warnings = flags.parse([a for a in container(run)["args"] if "config_file" not in a])
    assert warnings == []
    assert (parsed.port, parsed.rest_api_port) == (8500, 8501)


def test_the_batching_file_is_valid_and_sets_one_execution(run: Run) -> None:
    text = run.one("ConfigMap").inputs["data"]["batching.config"]
    parsed = text_format.Parse(text, BatchingParameters())
    assert parsed.num_batch_threads.value == 1
    assert parsed.max_execution_batch_size.value == 1
    assert parsed.enable_large_batch_splitting.value is True
    assert parsed.max_enqueued_batches.value == int(run.outputs["limits"]["queue"])


def test_a_misspelt_field_in_the_batching_file_is_detected() -> None:
    wrong = batching_parameters(8).replace("num_batch_threads", "num_batch_thread")
    with pytest.raises(text_format.ParseError, match="num_batch_thread"):
        text_format.Parse(wrong, BatchingParameters())


def test_the_monitoring_file_is_valid_and_enables_metrics() -> None:
    parsed = text_format.Parse(monitoring_config(), MonitoringConfig())
    assert parsed.prometheus_config.enable is True
    assert parsed.prometheus_config.path == METRICS_PATH


def test_a_misspelt_field_in_the_monitoring_file_is_detected() -> None:
    wrong = monitoring_config().replace("path", "paht")
    with pytest.raises(text_format.ParseError, match="paht"):
        text_format.Parse(wrong, MonitoringConfig())


def test_config_files_are_mounted_where_the_flags_say(run: Run) -> None:
    data = run.one("ConfigMap").inputs["data"]
    (folder,) = (m["mountPath"] for m in container(run)["volumeMounts"] if m["name"] == "config")
    for flag in ("batching_parameters_file", "monitoring_config_file"):
        path = Path(server_flags(run)[flag])
        assert str(path.parent) == folder
        assert path.name in data
    assert data["MODEL_NAME"] == run.outputs["modelName"]


def test_tensorflow_chooses_its_kernels_by_the_processor(run: Run) -> None:
    """Without AVX-512, forced oneDNN kernels take minutes for a convolution of the decoder."""
    assert {e["name"] for e in container(run)["env"]} == {"MODEL_NAME", "MODEL_PATH"}


def test_a_changed_configuration_is_a_new_config_map_and_rolls_out_new_pods(run: Run) -> None:
    config = run.one("ConfigMap")
    assert config.inputs["immutable"] is True
    assert "name" not in config.inputs["metadata"]
    named = config.outputs["metadata"]["name"]
    (volume,) = (v for v in pod_spec(run)["volumes"] if v["name"] == "config")
    assert volume["configMap"]["name"] == named
    refs = [e["valueFrom"]["configMapKeyRef"]["name"] for e in container(run)["env"]]
    assert refs == [named, named]


def test_pods_read_the_model_from_the_bucket_or_from_its_mount() -> None:
    over_gs, over_fuse = run_of("dev"), run_of("dev", modelAccess="fuse")
    uri = over_gs.outputs["modelUri"]
    assert over_gs.one("ConfigMap").inputs["data"]["MODEL_PATH"] == uri
    path = over_fuse.one("ConfigMap").inputs["data"]["MODEL_PATH"]
    bucket = over_fuse.outputs["bucket"]
    assert path == uri.replace(f"gs://{bucket}", "/models")
    volumes = {v["name"]: v for v in pod_spec(over_fuse)["volumes"]}
    assert volumes["models"]["csi"]["volumeAttributes"]["bucketName"] == bucket
    assert "medium" not in volumes["gke-gcsfuse-cache"]["emptyDir"]
    template = over_fuse.one("Deployment").inputs["spec"]["template"]
    assert template["metadata"]["annotations"]["gke-gcsfuse/volumes"] == "true"


def test_the_thread_count_is_the_cpu_request(run: Run) -> None:
    requests = container(run)["resources"]["requests"]
    found = server_flags(run)
    assert found["tensorflow_intra_op_parallelism"] == requests["cpu"]
    assert "tensorflow_session_parallelism" not in found


def test_memory_is_limited_to_the_request(run: Run) -> None:
    resources = container(run)["resources"]
    assert resources["limits"]["memory"] == resources["requests"]["memory"]
    assert int(resources["limits"]["cpu"]) >= int(resources["requests"]["cpu"])


def test_dev_requests_what_the_tutorial_does() -> None:
    server, web = (container(run_of("dev"), name)["resources"]["requests"] for name in CONTAINERS)
    assert (server["cpu"], web["cpu"]) == ("3", "50m")
    assert mib(server["memory"]) + mib(web["memory"]) == 12 * 1024


def test_a_full_queue_cannot_starve_the_probes(run: Run) -> None:
    found, queue = server_flags(run), int(run.outputs["limits"]["queue"])
    for pool in ("rest_api_num_threads", "grpc_max_threads"):
        assert int(found[pool]) == QUEUES * queue + 1 + SPARE_THREADS
    liveness = container(run)["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 300
    assert liveness["timeoutSeconds"] >= 5


def test_a_start_may_take_as_long_as_reading_the_model_and_warming_up(run: Run) -> None:
    probe = container(run)["startupProbe"]
    timeout = int(run.outputs["limits"]["requestTimeoutSeconds"])
    budget = probe["periodSeconds"] * probe["failureThreshold"]
    assert budget >= timing.startup_seconds(MODEL_BYTES, timeout)
    deadline = run.one("Deployment").inputs["spec"]["progressDeadlineSeconds"]
    assert deadline > budget + pod_spec(run)["terminationGracePeriodSeconds"]


def test_a_bigger_model_has_longer_to_start() -> None:
    assert timing.startup_seconds(4e9, 60) - timing.startup_seconds(0, 60) == 800


def test_a_model_that_fails_to_load_ends_the_pod_immediately(run: Run) -> None:
    found = server_flags(run)
    assert found["max_num_load_retries"] == "0"
    assert found["file_system_poll_wait_seconds"] == "0"


def test_a_stopping_pod_has_time_for_every_accepted_request(run: Run) -> None:
    timeout = int(run.outputs["limits"]["requestTimeoutSeconds"])
    grace = pod_spec(run)["terminationGracePeriodSeconds"]
    assert grace > timeout + timing.ENDPOINT_REMOVAL_SECONDS
    assert int(server_flags(run)["rest_api_timeout_in_ms"]) == timeout * 1000
    for kind in ("Deployment", "kubernetes:core/v1:Namespace"):
        assert seconds(run.one(kind).custom_timeouts["delete"]) > grace


@pytest.mark.parametrize(("stack", "surge"), [("dev", 0), ("prod", 1)])
def test_a_rollout_needs_a_spare_pod_only_where_there_is_room(stack: str, surge: int) -> None:
    update = run_of(stack).one("Deployment").inputs["spec"]["strategy"]["rollingUpdate"]
    assert (update["maxSurge"], update["maxUnavailable"]) == (surge, 1 - surge)


def test_one_pod_at_a_time_may_be_evicted(run: Run) -> None:
    spec = run.one("PodDisruptionBudget").inputs["spec"]
    assert spec["maxUnavailable"] == 1
    assert spec["selector"] == run.one("Deployment").inputs["spec"]["selector"]


def test_a_pod_that_does_not_serve_never_blocks_the_drain_of_its_node(run: Run) -> None:
    spec = run.one("PodDisruptionBudget").inputs["spec"]
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_pods_spread_over_zones_and_nodes(run: Run) -> None:
    keys = [c["topologyKey"] for c in pod_spec(run)["topologySpreadConstraints"]]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def test_a_pod_has_no_privileges(run: Run) -> None:
    pod = pod_spec(run)["securityContext"]
    assert pod["runAsNonRoot"] is True and pod["runAsUser"] > 0
    assert pod["seccompProfile"]["type"] == "RuntimeDefault"
    assert [one["name"] for one in pod_spec(run)["containers"]] == list(CONTAINERS)
    for name in CONTAINERS:
        own = container(run, name)["securityContext"]
        assert own["readOnlyRootFilesystem"] is True
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"]["drop"] == ["ALL"]
    assert pod_spec(run)["automountServiceAccountToken"] is False
    assert server_flags(run)["enable_profiler"] == "false"


def test_the_autoscaler_owns_the_number_of_pods(run: Run) -> None:
    deployment, scaler = run.one("Deployment"), run.one("HorizontalPodAutoscaler").inputs["spec"]
    assert "replicas" not in deployment.inputs["spec"]
    assert deployment.ignore_changes == ("spec.replicas",)
    assert scaler["scaleTargetRef"]["name"] == deployment.outputs["metadata"]["name"]


def test_dev_scales_from_one_to_two_pods_at_60_percent_cpu() -> None:
    spec = run_of("dev").one("HorizontalPodAutoscaler").inputs["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 2)
    assert spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 60


def test_scaling_down_is_slower_than_any_request(run: Run) -> None:
    down = run.one("HorizontalPodAutoscaler").inputs["spec"]["behavior"]["scaleDown"]
    timeout = run.outputs["limits"]["requestTimeoutSeconds"]
    assert down["stabilizationWindowSeconds"] >= max(300, timeout)
    assert down["policies"][0]["value"] == 1


def test_what_exists_once_has_a_fixed_name_so_that_leftovers_are_adopted(run: Run) -> None:
    for kind in (
        *("Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"),
        "PodMonitoring",
    ):
        assert run.one(kind).inputs["metadata"]["name"] == "model-server"
    services = run.of("kubernetes:core/v1:Service")
    assert {one.inputs["metadata"]["name"] for one in services} == {"model-server", "web"}
    assert run.one("Secret").inputs["metadata"]["name"] == "web-keys"
    provider = run.one("pulumi:providers:kubernetes").inputs
    assert provider["upsertExistingObjects"] == "true"


def test_leftovers_are_adopted_with_changed_settings_too(run: Run) -> None:
    """Each object has a field manager of its own, whose fields another cannot change unforced."""
    assert run.one("pulumi:providers:kubernetes").inputs["enablePatchForce"] == "true"


def test_no_revision_stays_that_has_lost_its_model_or_configuration(run: Run) -> None:
    assert run.one("Deployment").inputs["spec"]["revisionHistoryLimit"] == 0


def test_a_pod_that_ends_in_its_first_seconds_has_not_started(run: Run) -> None:
    assert run.one("Deployment").inputs["spec"]["minReadySeconds"] >= 5


def test_a_rollout_may_take_as_long_as_replacing_all_pods_one_by_one() -> None:
    one, two = timing.rollout_seconds(1, 60), timing.rollout_seconds(2, 60)
    assert two == 2 * one
    assert one > timing.grace_period_seconds(60) + timing.startup_seconds(4.3e9, 60)
    assert timing.rollout_seconds(1000, 60) == 24 * 3600


def test_pods_run_on_the_pool_for_serving_even_if_it_is_reserved(run: Run) -> None:
    label = {"diffusion-serving/pool": "serving"}
    assert pod_spec(run)["nodeSelector"] == label
    (toleration,) = pod_spec(run)["tolerations"]
    assert {toleration["key"]: toleration["value"]} == label


def test_everything_is_in_the_namespace_of_the_iam_binding(run: Run) -> None:
    namespace = run.one("kubernetes:core/v1:Namespace").inputs["metadata"]["name"]
    account = run.one("kubernetes:core/v1:ServiceAccount").inputs["metadata"]["name"]
    for one in kubernetes_objects(run):
        if not one.type.endswith(":Namespace"):
            assert one.inputs["metadata"]["namespace"] == namespace, one.urn
    member = run.one("gcp:storage/bucketIAMMember:BucketIAMMember").inputs["member"]
    assert member.endswith(f"/subject/ns/{namespace}/sa/{account}")
    assert pod_spec(run)["serviceAccountName"] == account
