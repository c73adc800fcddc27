"""Rules for pods: they see every container, wherever it stands."""

from __future__ import annotations

from typing import Any

import pytest

from policy import rules
from policy.pods import containers
from policy.resource import Resource
from tests.policy_resources import CONTAINER, PLACES, POD, deployment, with_pod

POD_RULES = (
    rules.no_floating_images,
    rules.requests_and_limits,
    rules.pods_are_locked_down,
    rules.pods_keep_off_the_node,
    rules.no_token_by_default,
    rules.names_of_the_api,
)

BAD_POD: dict[str, Any] = {
    "hostNetwork": True,
    "service_account_name": "me",
    "containers": [{"name": "bad", "image": "nginx"}],
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rule", POD_RULES)
def test_every_rule_looks_into_a_pod_wherever_it_stands(place: str, rule: rules.Rule) -> None:
    assert rule([with_pod(place, BAD_POD)])
    assert rule([with_pod(place, POD)]) == []


@pytest.mark.parametrize("key", ["initContainers", "ephemeralContainers"])
@pytest.mark.parametrize("rule", [rules.no_floating_images, rules.pods_are_locked_down])
def test_a_container_beside_the_main_one_is_seen(key: str, rule: rules.Rule) -> None:
    beside = {"name": "beside", "image": "nginx", "restartPolicy": "Always"}
    found = rule([with_pod("apps/v1:Deployment", {**POD, key: [beside]})])
    assert found and all("container beside " in line or "nginx" in line for line in found)


def test_a_sidecar_needs_requests_and_an_ephemeral_container_cannot_have_any() -> None:
    other = {key: value for key, value in CONTAINER.items() if key != "resources"}
    sidecar = with_pod("batch/v1:Job", {**POD, "initContainers": [other]})
    assert len(rules.requests_and_limits([sidecar])) == 4
    ephemeral = with_pod("core/v1:Pod", {**POD, "ephemeralContainers": [other]})
    assert rules.requests_and_limits([ephemeral]) == []


def test_a_resource_of_another_provider_has_no_pods() -> None:
    inputs = {"spec": {"template": {"spec": BAD_POD}}}
    assert not list(containers([Resource("gcp:cloudrun/service:Service", "r", inputs)]))


@pytest.mark.parametrize(
    "image",
    [
        "tensorflow/serving",
        "x.io:5000/a/b",
        "x.io:5000/a/b:latest",
        "tensorflow/serving:latest-gpu",
        "tensorflow/serving:nightly",
        "envoyproxy/envoy:stable",
        "",
        None,
    ],
)
def test_an_image_without_a_version_is_reported(image: str | None) -> None:
    (line,) = rules.no_floating_images([deployment(image=image)])
    assert line.endswith(f"image {image or '(none)'} is not pinned to a version")


@pytest.mark.parametrize("image", ["a@sha256:" + "0" * 64, "a:2.20.0", "x.io:5000/a/b:v1-alpine"])
def test_an_image_with_a_version_or_a_digest_is_pinned(image: str) -> None:
    assert rules.no_floating_images([deployment(image=image)]) == []


def test_an_image_that_is_mounted_is_pinned_too() -> None:
    volume = {"name": "models", "image": {"reference": "x.io/models:latest"}}
    (line,) = rules.no_floating_images([with_pod("core/v1:Pod", {**POD, "volumes": [volume]})])
    assert line == "Pod w: volume: image x.io/models:latest is not pinned to a version"


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({}, "has no memory in limits"),
        ({"requests": {"cpu": "1", "memory": "1Gi"}}, "container c has no cpu in limits"),
        ({"requests": None, "limits": {}}, "container c has no cpu in requests"),
    ],
)
def test_missing_requests_and_limits_are_reported(declared: dict[str, Any], says: str) -> None:
    assert any(says in line for line in rules.requests_and_limits([deployment(resources=declared)]))


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ({"allowPrivilegeEscalation": None}, "can gain privileges"),
        ({"privileged": True}, "can gain privileges"),
        ({"runAsNonRoot": False}, "can run as root"),
        ({"readOnlyRootFilesystem": False}, "has a writable root file system"),
        ({"capabilities": {}}, "does not drop ALL capabilities"),
        (
            {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}},
            "adds the capability SYS_ADMIN",
        ),
        ({"seccompProfile": {"type": "Unconfined"}}, "has no seccomp profile"),
    ],
)
def test_a_container_that_is_not_locked_down_is_reported(
    context: dict[str, Any], says: str
) -> None:
    one = deployment(securityContext={**CONTAINER["securityContext"], **context})
    (line,) = rules.pods_are_locked_down([one])
    assert line.startswith(f"Deployment d: container c {says}")


def test_a_container_may_say_itself_what_its_pod_does_not_as_in_knative() -> None:
    own = {**CONTAINER["securityContext"], **POD["securityContext"]}
    pod = {**POD, "securityContext": {}, "containers": [{**CONTAINER, "securityContext": own}]}
    assert rules.pods_are_locked_down([with_pod("serving.knative.dev/v1:Service", pod)]) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hostNetwork": True}, "sets hostNetwork"),
        ({"hostPID": True}, "sets hostPID"),
        ({"hostIPC": True}, "sets hostIPC"),
        (
            {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
            "volume v is a folder of the node",
        ),
        (
            {"containers": [{**CONTAINER, "ports": [{"containerPort": 1, "hostPort": 8501}]}]},
            "container c takes port 8501 of the node",
        ),
    ],
)
def test_a_pod_that_uses_its_node_is_reported(change: dict[str, Any], says: str) -> None:
    (line,) = rules.pods_keep_off_the_node([with_pod("apps/v1:DaemonSet", {**POD, **change})])
    assert line == f"DaemonSet w: {says}"


def test_a_volume_that_is_a_folder_of_the_node_is_reported() -> None:
    inputs = {"spec": {"hostPath": {"path": "/"}}}
    volume = Resource("kubernetes:core/v1:PersistentVolume", "v", inputs)
    assert rules.pods_keep_off_the_node([volume]) == ["PersistentVolume v: is a folder of the node"]


@pytest.mark.parametrize(
    ("pod", "says"),
    [
        ({}, "does not say automountServiceAccountToken: false"),
        ({"serviceAccountName": "own"}, "does not say automountServiceAccountToken: false"),
        ({"automountServiceAccountToken": True}, "mounts a token of the default service account"),
        (
            {"automountServiceAccountToken": True, "serviceAccountName": "default"},
            "mounts a token of the default service account",
        ),
    ],
)
def test_a_token_that_nobody_asked_for_is_reported(pod: dict[str, Any], says: str) -> None:
    one = with_pod("core/v1:Pod", {"containers": [CONTAINER], **pod})
    assert rules.no_token_by_default([one]) == [f"Pod w: {says}"]


def test_a_pod_may_ask_for_a_token_of_its_own_service_account() -> None:
    asked = {**POD, "automountServiceAccountToken": True, "serviceAccountName": "own"}
    assert rules.no_token_by_default([with_pod("core/v1:Pod", asked)]) == []


SECRET = {"name": "keys", "secret": {"secretName": "s"}}
PROJECTED = {"name": "keys", "projected": {"sources": [{"secret": {"name": "s"}}]}}


@pytest.mark.parametrize(
    ("container", "volume", "says"),
    [
        (
            {"env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            SECRET,
            "has a Secret in its environment",
        ),
        ({"envFrom": [{"secretRef": {"name": "s"}}]}, SECRET, "has a Secret in its environment"),
        (
            {"volumeMounts": [{"name": "keys", "mountPath": "/k", "subPath": "k"}]},
            SECRET,
            "mounts a part of the Secret in volume keys",
        ),
        (
            {"volumeMounts": [{"name": "keys", "mountPath": "/k", "subPathExpr": "$(A)"}]},
            PROJECTED,
            "mounts a part of the Secret in volume keys",
        ),
    ],
)
def test_a_secret_whose_change_would_not_reach_a_running_pod_is_reported(
    container: dict[str, Any], volume: dict[str, Any], says: str
) -> None:
    pod = {**POD, "volumes": [volume], "containers": [{**CONTAINER, **container}]}
    assert rules.secrets_are_files([with_pod("apps/v1:Deployment", pod)]) == [
        f"Deployment w: container c {says}"
    ]


@pytest.mark.parametrize("volume", [SECRET, PROJECTED, {"name": "keys", "configMap": {}}])
def test_a_secret_in_a_folder_and_other_values_are_not_remarked_on(volume: dict[str, Any]) -> None:
    container = {
        **CONTAINER,
        "env": [{"name": "A", "value": "b"}, {"name": "C", "valueFrom": {"configMapKeyRef": {}}}],
        "envFrom": [{"configMapRef": {"name": "c"}}],
        "volumeMounts": [{"name": "keys", "mountPath": "/keys"}],
    }
    pod = {**POD, "volumes": [volume], "containers": [container]}
    assert rules.secrets_are_files([with_pod("core/v1:Pod", pod)]) == []


def test_a_python_name_in_a_custom_resource_is_reported() -> None:
    container = {**CONTAINER, "securityContext": {"run_as_non_root": True}}
    one = with_pod("serving.knative.dev/v1:Service", {"containers": [container], "time_out": 7})
    assert rules.names_of_the_api([one]) == [
        "Service w has time_out, which Kubernetes does not know",
        "Service w: container c: securityContext has run_as_non_root, which Kubernetes does not "
        "know",
    ]
