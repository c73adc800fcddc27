"""The web service's container: its command line, its probes, its keys, its metrics."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from pathlib import Path

import pytest

from infra.settings import keys as key_settings
from infra.settings.keys import ApiKey
from infra.settings.web import WEB_CONTAINER
from render.recorder import Run, run_program
from serving.containers.web_keys import keys_file
from tests.stacks import GKE_STACKS, container, goes_before, pod_spec, run_of
from web import options
from web.safety import keys as served_keys
from web.safety.key_guard import OPEN_PATHS

ALICE, BOB = "alices-key:0123456789", "bobs-key-0123456789AB"


@pytest.fixture(params=[*GKE_STACKS, "dev over fuse"])
def run(request: pytest.FixtureRequest) -> Run:
    stack, _, fuse = request.param.partition(" over ")
    return run_of(stack, modelAccess="fuse") if fuse else run_of(stack)


def with_keys(**keys: str) -> Run:
    return run_program("dev", apiKeys=json.dumps(keys))


def web_options(run: Run) -> options.Options:
    """The command line, as the web service reads it."""
    return options.parse(container(run, "web")["args"])


def ports(run: Run) -> dict[str, int]:
    found = container(run, "web")["ports"]
    return {port["name"]: int(port["containerPort"]) for port in found}


def test_it_asks_the_model_server_of_its_own_pod(run: Run) -> None:
    asked = web_options(run)
    (grpc,) = (p for p in container(run)["ports"] if p["name"] == "grpc")
    assert asked.model_servers == (f"127.0.0.1:{grpc['containerPort']:.0f}",)
    assert asked.model_name == run.outputs["modelName"]


def test_it_listens_on_the_ports_of_its_container_and_asks_for_keys(run: Run) -> None:
    asked = web_options(run)
    assert (asked.host, asked.metrics_host) == ("0.0.0.0", "0.0.0.0")
    assert ports(run) == {"web": asked.port, "web-metrics": asked.metrics_port}
    (mount,) = (m for m in container(run, "web")["volumeMounts"] if m["name"] == "web-keys")
    (volume,) = (v for v in pod_spec(run)["volumes"] if v["name"] == "web-keys")
    secret = run.one("Secret")
    assert Path(asked.keys_file).parent == Path(mount["mountPath"])
    assert list(secret.inputs["data"]) == [Path(asked.keys_file).name]
    assert volume["secret"]["secretName"] == secret.outputs["metadata"]["name"]
    # Its user reads it as a member of the pod's group.
    assert int(volume["secret"]["defaultMode"]) == 0o440
    assert pod_spec(run)["securityContext"]["fsGroup"] == 65532


def test_its_queue_and_its_jobs_have_the_stacks_limits(run: Run) -> None:
    asked, limits = web_options(run), run.outputs["limits"]
    assert asked.queue == limits["queue"]
    assert asked.deadline_seconds == limits["requestTimeoutSeconds"]


def test_a_pod_is_ready_while_a_model_is_and_restarted_only_if_it_does_not_answer(
    run: Run,
) -> None:
    probes = {
        name: container(run, "web")[name]["httpGet"]
        for name in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert {get["port"] for get in probes.values()} == {"web"}
    paths = {name: get["path"] for name, get in probes.items()}
    assert set(paths.values()) <= OPEN_PATHS, "the kubelet has no key"
    # A restart of the web service does not make a model load any faster.
    assert paths == {
        "startupProbe": "/health",
        "readinessProbe": "/ready",
        "livenessProbe": "/health",
    }


def test_a_web_service_that_does_not_answer_is_not_drained_for_minutes(run: Run) -> None:
    for probe in ("startupProbe", "livenessProbe"):
        assert container(run, "web")[probe]["terminationGracePeriodSeconds"] == 30
    liveness = container(run, "web")["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 120


def test_it_requests_what_the_settings_reckon_with(run: Run) -> None:
    assert container(run, "web")["resources"]["requests"] == {
        "cpu": f"{WEB_CONTAINER.millicpu}m",
        "memory": f"{WEB_CONTAINER.memory_mib}Mi",
    }


def test_its_image_is_the_setting() -> None:
    image = "registry.example/mine/web@sha256:" + "0a" * 32
    assert container(run_of("dev", webImage=image), "web")["image"] == image


def test_its_metrics_are_collected(run: Run) -> None:
    spec = run.one("PodMonitoring").inputs["spec"]
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in ports(run)
    assert ports(run)[endpoint["port"]] == web_options(run).metrics_port
    assert spec["selector"] == run.one("Deployment").inputs["spec"]["selector"]


def test_the_keys_are_hashes_that_the_web_service_reads() -> None:
    run = with_keys(bob=BOB, alice=ALICE)
    (content,) = run.one("Secret").inputs["data"].values()
    keys = served_keys.parse(base64.b64decode(content))
    assert keys.names == {"alice", "bob"}
    assert keys.name_of(ALICE.encode()) == "alice" and keys.name_of(BOB.encode()) == "bob"


def test_a_key_is_nowhere_and_its_hash_is_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    run = with_keys(alice=ALICE)
    sha256 = hashlib.sha256(ALICE.encode()).hexdigest()
    encoded = [base64.b64encode(text.encode()).decode().rstrip("=") for text in (ALICE, sha256)]
    secret = run.one("Secret")
    assert secret.secrets == {"data"}
    for one in run.resources:
        for text in (ALICE, sha256, *encoded):
            assert text not in repr((one.inputs, one.outputs)) or one is secret
    assert ALICE not in repr(run) and encoded[0] not in repr(run)
    assert ALICE not in caplog.text and sha256 not in repr(run.outputs)


def test_an_exchanged_key_changes_the_secret_and_no_pod() -> None:
    before, after = with_keys(alice=ALICE), with_keys(alice=BOB, carol="carols-key-0123456789")
    assert before.one("Secret").inputs != after.one("Secret").inputs
    assert before.one("Secret").inputs["metadata"] == after.one("Secret").inputs["metadata"]
    assert before.one("Deployment").inputs == after.one("Deployment").inputs
    assert before.one("Rollout").inputs == after.one("Rollout").inputs
    # A folder, since a file that is mounted alone stays as it is.
    (mount,) = container(before, "web")["volumeMounts"]
    assert "subPath" not in mount and "immutable" not in before.one("Secret").inputs


def test_keys_are_exchanged_in_place_since_a_replaced_secret_would_replace_the_pods(
    run: Run,
) -> None:
    assert run.one("pulumi:providers:kubernetes").inputs["enableSecretMutable"] == "true"


def test_a_pod_comes_after_its_keys_and_goes_before_them(run: Run) -> None:
    assert goes_before(run, "Deployment", "Secret")


def test_the_same_keys_are_the_same_file_in_any_order() -> None:
    alice, bob = ApiKey("alice", "0a" * 32), ApiKey("bob", "0b" * 32)
    assert keys_file([alice, bob]) == keys_file([bob, alice])


def test_the_settings_and_the_web_service_agree_on_how_many_keys_there_may_be() -> None:
    assert key_settings.MAX_KEYS == served_keys.MAX_KEYS
