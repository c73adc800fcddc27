"""The settings of the mode `knative`: what is refused, and why."""

from __future__ import annotations

import json

import pytest

from infra.settings import stack as settings
from infra.settings.gke import GkeSettings
from infra.settings.keys import PLACEHOLDER
from infra.settings.machines import KNATIVE_SYSTEM_MACHINE, SYSTEM_MACHINE
from infra.settings.pod import QUEUE_PROXY
from infra.settings.unread import without_effect
from infra.settings.values import SettingsError
from infra.settings.web import WEB_CONTAINER
from model_export.spec import WEIGHTS_LICENCE
from render.recorder import PROJECT, stack_config

REVISION = "diffusion-0123456789abcdef-01234567"


def values(stack: str = "knative", **changes: str) -> dict[str, str]:
    config = {k.removeprefix(f"{PROJECT}:"): v for k, v in stack_config(stack).items()}
    return config | {"acceptLicence": WEIGHTS_LICENCE, "apiKeys": PLACEHOLDER} | changes


def parsed(stack: str = "knative", **changes: str) -> GkeSettings:
    gke = settings.parse(values(stack, **changes), "my-project-1").gke
    assert gke is not None
    return gke


def test_the_committed_stack_goes_from_none_to_ten() -> None:
    gke = parsed()
    assert (gke.pod.min_replicas, gke.pod.max_replicas) == (0, 10)
    assert (gke.nodes.min_nodes, gke.nodes.max_nodes) == (0, 10)
    assert gke.knative is not None and gke.knative.canary_percent == 100
    # As many CPUs as the same machine gives a pod without Knative.
    assert gke.pod.cpu == parsed("dev", modelAccess="fuse").pod.cpu == 3


def test_a_deployment_has_at_least_one_pod_and_knative_needs_none() -> None:
    with pytest.raises(SettingsError, match=r"^minReplicas: must be a whole number from 1"):
        parsed("dev", minReplicas="0")
    with pytest.raises(SettingsError, match=r"^maxReplicas: must be a whole number from 1"):
        parsed(maxReplicas="0")


def test_a_time_that_knative_would_cut_is_refused_before_anything_is_made() -> None:
    with pytest.raises(SettingsError, match=r"^requestTimeoutSeconds: 720 s, after 257 s"):
        parsed(requestTimeoutSeconds="720")
    assert parsed("dev", requestTimeoutSeconds="720").knative is None


def test_clients_are_told_the_time_of_a_job_that_may_wait_for_a_machine() -> None:
    configured = settings.parse(values(), "my-project-1")
    assert configured.time_budget is not None
    assert configured.job_timeout_seconds == configured.time_budget.job > 300
    of_a_deployment = settings.parse(values("dev"), "my-project-1")
    assert of_a_deployment.job_timeout_seconds == 720


def test_affinity_by_cookie_is_refused_with_the_reason() -> None:
    with pytest.raises(SettingsError) as error:
        parsed(sessionAffinity="cookie")
    assert str(error.value).startswith(
        "sessionAffinity: cookie is not possible: Knative sends each request to a worker that is "
        "free, and keeps nobody at one; a job and its pictures are at the front"
    )
    with pytest.raises(SettingsError, match="a client is known by its address"):
        parsed("dev", sessionAffinity="cookie")


@pytest.mark.parametrize("way", ["true", "rest"])
def test_the_model_server_of_a_pod_with_one_port_cannot_be_exposed(way: str) -> None:
    with pytest.raises(SettingsError, match=r"^exposeModelServer: must be false with mode knative"):
        parsed(exposeModelServer=way, allowedSourceRanges="203.0.113.0/24")


def test_a_part_of_the_requests_needs_a_revision_for_the_others() -> None:
    with pytest.raises(SettingsError, match=r"^canaryPercent: 10 leaves requests for an earlier"):
        parsed(canaryPercent="10")
    knative = parsed(canaryPercent="10", stableRevision=REVISION).knative
    assert knative is not None and knative.stable_fingerprint == "0123456789abcdef"


@pytest.mark.parametrize(
    "name", ["diffusion-1", "front-0123456789abcdef-01234567", f"{REVISION}0", REVISION.upper()]
)
def test_what_is_no_revisions_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"^stableRevision: must be empty or the name of a rev"):
        parsed(stableRevision=name)


def test_front_is_the_fronts_own_name_and_refused_as_a_users() -> None:
    keys = json.dumps({"front": "some-key:0123456789abc"})
    with pytest.raises(SettingsError, match="front is the name of the front's own key"):
        parsed(apiKeys=keys)
    assert parsed("dev", apiKeys=keys).keys[0].name == "front"


def test_the_fronts_key_follows_from_all_keys_and_is_none_of_them() -> None:
    keys = {"alice": "alices-key:0123456789", "bob": "bobs-key-0123456789AB"}
    one = parsed(apiKeys=json.dumps(keys)).front_key
    assert one == parsed(apiKeys=json.dumps(dict(reversed(keys.items())))).front_key
    assert one not in keys.values() and len(one) == 64
    assert one != parsed(apiKeys=json.dumps(keys | {"bob": "another-key-0123456789"})).front_key
    assert one not in repr(parsed(apiKeys=json.dumps(keys)))


def test_the_system_machine_has_room_for_knative_and_the_front() -> None:
    gke = parsed()
    assert gke.system_machine == KNATIVE_SYSTEM_MACHINE
    # Activator, autoscaler, controller, webhook, its HPA's, two of Kourier, two of the operator.
    knative = 500 + 100 + 100 + 100 + 30 + 200 + 200 + 100 + 100
    room = KNATIVE_SYSTEM_MACHINE.room()
    assert knative + WEB_CONTAINER.millicpu <= room.millicpu < 2 * SYSTEM_MACHINE.vcpus * 1000
    assert SYSTEM_MACHINE.room().millicpu < knative, "the smaller machine would not do"
    assert parsed("dev", minNodes="0").system_machine == SYSTEM_MACHINE
    assert parsed("dev").system_machine is None


def test_the_container_that_knative_adds_takes_its_share_of_the_node() -> None:
    gke = parsed(modelAccess="gs", requestTimeoutSeconds="200")
    room = gke.nodes.machine.room()
    beside = WEB_CONTAINER.millicpu + QUEUE_PROXY.millicpu
    assert gke.pod.per_node * (gke.pod.cpu * 1000 + beside) <= room.millicpu
    assert gke.pod.per_node * (gke.pod.memory_gib * 1024 + QUEUE_PROXY.memory_mib) <= (
        room.memory_mib
    )


def test_a_setting_of_the_other_mode_is_warned_of() -> None:
    given = {"cpuTargetPercent", "canaryPercent", "stableRevision"}
    serverless, usual = values(), values("dev")
    assert without_effect(given, serverless) == [
        "cpuTargetPercent: has no effect with mode knative"
    ]
    assert without_effect(given, usual) == [
        "canaryPercent: has no effect with mode deployment",
        "stableRevision: has no effect with mode deployment",
    ]
