"""The published guide's Knative Service, line by line, in the stack `knative`."""

from __future__ import annotations

import pulumi
import pytest

from render.recorder import Run
from tests.knative.objects import container, template, workers
from tests.stacks import run_of

AUTOSCALING = "autoscaling.knative.dev"


@pytest.fixture(scope="module")
def run() -> Run:
    return run_of("knative")


def annotation(run: Run, name: str) -> str:
    return template(run)["metadata"]["annotations"][f"{AUTOSCALING}/{name}"]


def test_container_concurrency_is_1(run: Run) -> None:
    assert template(run)["spec"]["containerConcurrency"] == 1


def test_max_scale_is_10(run: Run) -> None:
    assert annotation(run, "max-scale") == "10"


def test_target_utilisation_is_100_percent_of_the_concurrency(run: Run) -> None:
    assert annotation(run, "target-utilization-percentage") == "100"
    assert annotation(run, "metric") == "concurrency"


def test_it_scales_to_zero(run: Run) -> None:
    assert annotation(run, "min-scale") == "0"
    # Not at once: waking a machine takes minutes.
    assert annotation(run, "scale-to-zero-pod-retention-period") == "600s"


def test_affinity_by_cookie_for_1800_s_is_answered_with_why_not() -> None:
    with pytest.raises(pulumi.RunError, match="a job and its pictures are at the front"):
        run_of("knative", sessionAffinity="cookie")


def test_the_probe_asks_whether_a_model_is_ready_not_whether_a_port_is_open(run: Run) -> None:
    probe = container(run)["readinessProbe"]
    assert probe["httpGet"] == {"path": "/ready", "port": 8080}
    assert probe["failureThreshold"] == 3


def test_the_api_is_on_the_pods_only_port(run: Run) -> None:
    ports = [port for one in template(run)["spec"]["containers"] for port in one.get("ports", [])]
    assert ports == [{"name": "http1", "containerPort": 8080}]
    assert "--role=worker" in container(run)["args"] and "--port=8080" in container(run)["args"]


def test_a_request_may_take_the_180_s_that_the_guides_load_gives_it(run: Run) -> None:
    spec = template(run)["spec"]
    assert 180 <= spec["timeoutSeconds"] <= 600
    # A picture is the first byte of an answer without progress.
    assert spec["responseStartTimeoutSeconds"] == spec["timeoutSeconds"]


def test_all_requests_go_to_the_newest_revision(run: Run) -> None:
    assert workers(run).inputs["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]
