"""What the containers of a pod run, and what they are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from render.placeholders import MODEL_BYTES
from render.recorder import Run
from serving import timing
from serving.tensorflow_serving.model_wait import wait_command
from serving.tensorflow_serving.probes import ANSWER_SECONDS, alive_command, ready_command
from serving.tensorflow_serving.scripts import script_files
from serving.tensorflow_serving.starting import start_command
from tests.stacks import GKE_STACKS, container, pod_spec, run_of


@pytest.fixture(params=[*GKE_STACKS, "dev over fuse"])
def run(request: pytest.FixtureRequest) -> Run:
    stack, _, fuse = request.param.partition(" over ")
    return run_of(stack, modelAccess="fuse") if fuse else run_of(stack)


def test_every_script_that_a_pod_runs_is_in_its_configuration(run: Run) -> None:
    data = run.one("ConfigMap").inputs["data"]
    own, (waiting,) = container(run), pod_spec(run)["initContainers"]
    probes = [own[name] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    commands = [probe["exec"]["command"] for probe in probes]
    for command in (waiting["command"], own["command"], *commands):
        (script,) = (Path(part) for part in command if part.endswith(".sh"))
        assert data[script.name] == script_files()[script.name]
        for one in (own, waiting):
            (mount,) = (m for m in one["volumeMounts"] if m["name"] == "config")
            assert mount["mountPath"] == str(script.parent)
    assert script_files().items() <= data.items()


def test_a_stopping_pod_waits_for_its_web_service_alone(run: Run) -> None:
    assert container(run)["command"] == start_command(raw_seconds=0)
    (port,) = (p for p in container(run, "web")["ports"] if p["name"] == "web")
    assert f"{port['containerPort']:.0f}" in container(run)["command"]


@pytest.mark.parametrize("exposed", ["true", "rest"])
def test_a_stopping_pod_waits_for_others_too_if_the_model_server_is_exposed(exposed: str) -> None:
    command = container(run_of("dev", exposeModelServer=exposed))["command"]
    assert command == start_command(raw_seconds=timing.ENDPOINT_REMOVAL_SECONDS)


def test_a_pod_waits_until_it_can_read_the_model(run: Run) -> None:
    (waiting,) = pod_spec(run)["initContainers"]
    reader = run.one("gcp:storage/bucketIAMMember:BucketIAMMember").inputs
    _, _, namespace, _, account = reader["member"].rsplit("/", 4)
    stack = run.one("Deployment").urn.split(":")[2]
    assert waiting["command"] == wait_command(
        reader=f"{namespace}/{account}",
        role=reader["role"],
        up=f"make up STACK={stack}",
        patience_seconds=timing.MODEL_WAIT_SECONDS,
    )
    own = container(run)
    assert (waiting["name"], waiting["image"]) == ("wait-for-model", own["image"])
    (model_path,) = waiting["env"]
    assert model_path in own["env"] and model_path["name"] == "MODEL_PATH"
    assert waiting["volumeMounts"] == [m for m in own["volumeMounts"] if m["name"] != "tmp"]
    assert waiting["securityContext"] == own["securityContext"]


def test_a_container_that_failed_leaves_the_end_of_its_log_in_the_pods_status(run: Run) -> None:
    for one in (*pod_spec(run)["initContainers"], *pod_spec(run)["containers"]):
        assert one["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_a_start_has_time_to_wait_for_the_model(run: Run) -> None:
    progress = run.one("Deployment").inputs["spec"]["progressDeadlineSeconds"]
    timeout = int(run.outputs["limits"]["requestTimeoutSeconds"])
    start = timing.MODEL_WAIT_SECONDS + timing.startup_seconds(MODEL_BYTES, timeout)
    assert progress > start + timing.grace_period_seconds(timeout)


def test_a_pod_is_ready_only_while_its_model_is_available(run: Run) -> None:
    for probe in ("startupProbe", "readinessProbe"):
        assert container(run)[probe]["exec"]["command"] == ready_command()


def test_a_pod_is_restarted_only_if_its_model_is_gone(run: Run) -> None:
    assert container(run)["livenessProbe"]["exec"]["command"] == alive_command()


def test_a_probe_ends_before_kubernetes_ends_it_and_counts_it_as_failed(run: Run) -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container(run)[probe]["timeoutSeconds"] >= 2 * ANSWER_SECONDS


def test_a_server_without_its_model_is_not_drained_for_minutes(run: Run) -> None:
    for probe in ("startupProbe", "livenessProbe"):
        assert container(run)[probe]["terminationGracePeriodSeconds"] == 30
    assert "terminationGracePeriodSeconds" not in container(run)["readinessProbe"]
