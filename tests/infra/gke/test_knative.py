"""Knative on the cluster: what its operator is told, and which Kubernetes it needs."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from infra.gke.knative.configuration import knative_serving
from infra.gke.knative.versions import KNATIVE, LEAST_KUBERNETES, require_kubernetes
from policy import rules
from render.recorder import Run
from tests.knative.objects import SERVING, template
from tests.policy_resources import deployment
from tests.stacks import goes_before, run_of


@pytest.fixture(scope="module")
def run() -> Run:
    return run_of("knative")


@pytest.fixture(scope="module")
def spec(run: Run) -> dict[str, Any]:
    return run.one(SERVING).inputs["spec"]


def test_kourier_is_the_way_in_and_not_open_to_everyone_by_itself(spec: dict[str, Any]) -> None:
    assert spec["ingress"] == {"kourier": {"enabled": True, "service-type": "ClusterIP"}}
    # Without it, Knative would wait for Istio.
    assert spec["config"]["network"]["ingress-class"] == "kourier.ingress.networking.knative.dev"
    assert "domain" not in spec["config"]


def test_one_activator_hands_out_all_requests(spec: dict[str, Any]) -> None:
    """Its autoscaler, which the operator cannot take away, adds one above 110 % of the request."""
    (activator,) = (one for one in spec["workloads"] if one["name"] == "activator")
    (resources,) = activator["resources"]
    assert resources["container"] == "activator"
    assert resources["limits"]["cpu"] == resources["requests"]["cpu"]
    assert spec["high-availability"] == {"replicas": 1}


def test_envoys_moving_tag_is_overridden_by_a_version(spec: dict[str, Any]) -> None:
    image = spec["registry"]["override"]["3scale-kourier-gateway/kourier-gateway"]
    assert rules.no_floating_images([deployment(image=image)]) == []
    # The upstream manifest's tag is the one that a rule has to find.
    moving = "docker.io/envoyproxy/envoy:v1.37-latest"
    assert image.startswith(moving.removesuffix("-latest")) and image != moving


def test_nothing_is_longer_than_the_limit_that_knative_is_told(
    run: Run, spec: dict[str, Any]
) -> None:
    defaults = spec["config"]["defaults"]
    assert defaults["max-revision-timeout-seconds"] == "600"
    assert template(run)["spec"]["timeoutSeconds"] <= 600
    # The webhook refuses a default that is above its maximum.
    assert int(defaults["revision-timeout-seconds"]) <= 600
    assert int(defaults["revision-response-start-timeout-seconds"]) <= int(
        defaults["revision-timeout-seconds"]
    )


def test_the_most_workers_are_a_limit_of_knative_too(spec: dict[str, Any]) -> None:
    autoscaler = spec["config"]["autoscaler"]
    assert autoscaler["max-scale"] == autoscaler["max-scale-limit"] == "10"
    assert autoscaler["container-concurrency-target-percentage"] == "100"
    assert autoscaler["enable-scale-to-zero"] == "true"


def test_a_pod_may_wait_for_its_node(run: Run, spec: dict[str, Any]) -> None:
    settings = spec["config"]["deployment"]
    assert settings["pod-is-always-schedulable"] == "true"
    own = template(run)["metadata"]["annotations"]["serving.knative.dev/progress-deadline"]
    assert int(settings["progress-deadline"][:-1]) >= int(own[:-1])


def test_whatever_a_workers_pod_has_is_allowed(run: Run, spec: dict[str, Any]) -> None:
    needs = {
        "nodeSelector": "kubernetes.podspec-nodeselector",
        "tolerations": "kubernetes.podspec-tolerations",
        "securityContext": "kubernetes.podspec-securitycontext",
        "initContainers": "kubernetes.podspec-init-containers",
    }
    pod = template(run)["spec"]
    features = spec["config"]["features"]
    for field, feature in needs.items():
        assert field in pod and features[feature] == "enabled"
    assert any("csi" in volume for volume in pod["volumes"])
    assert features["kubernetes.podspec-volumes-csi"] == "enabled"
    # The model server's container has probes, and is not the one with the port.
    assert features["multi-container-probing"] == "enabled"


def test_an_eviction_can_move_each_of_knatives_single_pods(spec: dict[str, Any]) -> None:
    budgets = {one["name"]: one["minAvailable"] for one in spec["podDisruptionBudgets"]}
    assert budgets == {"activator-pdb": 0, "webhook-pdb": 0, "3scale-kourier-gateway-pdb": 0}


def test_a_domain_is_known_before_there_is_a_load_balancer() -> None:
    spec = knative_serving(most_workers=1, progress_seconds=1, domain="203.0.113.1.sslip.io")
    assert spec["config"]["domain"] == {"203.0.113.1.sslip.io": ""}


def test_operator_and_knative_have_one_version_and_the_floor_of_its_binaries_stays(
    run: Run, spec: dict[str, Any]
) -> None:
    release = run.one("Release").inputs
    assert release["version"] == f"v{KNATIVE}" and spec["version"] == KNATIVE
    # The chart's own default is v1.25.0, and overrides what each binary would check.
    floor = release["values"]["knative_operator"]["kubernetes_min_version"]
    assert floor == f"v{LEAST_KUBERNETES}.0"
    assert run.one("gcp:container/cluster:Cluster").inputs["minMasterVersion"] == LEAST_KUBERNETES
    assert "minMasterVersion" not in run_of("dev").one("gcp:container/cluster:Cluster").inputs


@pytest.mark.parametrize("version", ["1.34.0-gke.1", "1.34.1-gke.1000000", "1.40.2", "2.0.0"])
def test_a_cluster_that_is_young_enough_is_taken(version: str) -> None:
    assert require_kubernetes(version) == version


@pytest.mark.parametrize("version", ["1.33.9-gke.1", "1.9.0", "0.99.0", "", "latest"])
def test_a_cluster_that_is_too_old_is_refused_in_one_line(version: str) -> None:
    with pytest.raises(pulumi.RunError) as error:
        require_kubernetes(version)
    line = str(error.value)
    assert line.startswith("mode knative needs Kubernetes 1.34 or later for Knative 1.23.0")
    assert version in line and "mode: deployment" in line and "\n" not in line


def test_a_cluster_that_is_too_old_gets_no_operator() -> None:
    from render.recorder import run_program

    old = {"gcp:container/cluster:Cluster": {"masterVersion": "1.33.5-gke.1"}}
    with pytest.raises(pulumi.RunError, match=r"and the cluster has 1\.33\.5-gke"):
        run_program("knative", outputs=old)


def test_the_api_server_reaches_the_webhooks(run: Run) -> None:
    firewall = run.one("gcp:compute/firewall:Firewall")
    assert firewall.inputs["allows"] == [{"protocol": "tcp", "ports": ["8443"]}]
    assert firewall.inputs["sourceRanges"] == ["10.0.0.0/20"]
    assert goes_before(run, run.one("Release"), firewall)
