"""Who reaches the pods: the Services, and the network policy."""

from __future__ import annotations

from typing import Any

import pytest

from infra.settings.access import PRIVATE_RANGES
from policy import rules
from render.placeholders import SOURCE_RANGES
from render.recorder import Run
from tests.policy_resources import resources_of
from tests.stacks import GKE_STACKS, container, run_of, service


@pytest.fixture(params=[*GKE_STACKS, "dev over fuse"])
def run(request: pytest.FixtureRequest) -> Run:
    stack, _, fuse = request.param.partition(" over ")
    return run_of(stack, modelAccess="fuse") if fuse else run_of(stack)


def test_the_web_service_has_an_address_in_the_cluster_only(run: Run) -> None:
    spec = service(run, "web").inputs["spec"]
    assert spec["type"] == "ClusterIP"
    assert [(p["port"], p["targetPort"]) for p in spec["ports"]] == [(80, "web")]
    assert {"web", "web-metrics"} == {p["name"] for p in container(run, "web")["ports"]}
    labels = run.one("Deployment").inputs["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"] == labels


@pytest.mark.parametrize("plain_http", ["true", "false"])
def test_a_client_finds_its_jobs_since_its_requests_go_to_one_pod(plain_http: str) -> None:
    run = run_of("dev", allowPlainHttp=plain_http)
    assert service(run, "web").inputs["spec"]["sessionAffinity"] == "ClientIP"
    assert "sessionAffinity" not in service(run).inputs["spec"]


@pytest.mark.parametrize("stack", GKE_STACKS)
def test_the_load_balancer_lets_in_only_the_given_ranges(stack: str) -> None:
    run = run_of(stack, exposeModelServer="true")
    spec = service(run).inputs["spec"]
    assert spec["type"] == "LoadBalancer"
    assert spec["loadBalancerSourceRanges"] == [SOURCE_RANGES]
    assert spec["externalTrafficPolicy"] == "Local"
    assert [p["port"] for p in spec["ports"]] == [8500, 8501]
    ports = {p["name"] for p in container(run)["ports"]}
    assert {p["targetPort"] for p in spec["ports"]} == ports
    labels = run.one("Deployment").inputs["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"] == labels


def test_plain_http_gives_the_web_service_alone_a_load_balancer_for_the_given_ranges() -> None:
    run = run_of("dev", allowPlainHttp="true")
    spec = service(run, "web").inputs["spec"]
    assert spec["type"] == "LoadBalancer"
    assert spec["loadBalancerSourceRanges"] == [SOURCE_RANGES]
    assert spec["externalTrafficPolicy"] == "Local"
    assert [(p["port"], p["targetPort"]) for p in spec["ports"]] == [(80, "web")]
    assert service(run).inputs["spec"]["type"] == "ClusterIP"
    assert ingress(run) == {8080: [SOURCE_RANGES, *CLIENTS], 8081: COLLECTORS}
    assert run.outputs["page"] == run.outputs["endpoint"] == "http://203.0.113.1"
    assert "modelEndpoint" not in run.outputs
    assert rules.violations(resources_of(run), must_be_protected=False) == []


def test_both_servers_can_be_open_each_on_its_own_load_balancer() -> None:
    run = run_of("dev", allowPlainHttp="true", exposeModelServer="rest")
    assert ingress(run) == {
        8080: [SOURCE_RANGES, *CLIENTS],
        8081: COLLECTORS,
        8501: [SOURCE_RANGES, *CLIENTS],
    }
    assert run.outputs["endpoint"] != run.outputs["modelEndpoint"]


def test_an_internal_service_has_an_address_of_the_vpc() -> None:
    run = run_of("dev", internal="true", exposeModelServer="true", allowPlainHttp="true")
    for name in ("web", "model-server"):
        inputs = service(run, name).inputs
        annotations = inputs["metadata"]["annotations"]
        assert annotations == {"networking.gke.io/load-balancer-type": "Internal"}
        assert inputs["spec"]["loadBalancerSourceRanges"] == list(PRIVATE_RANGES)


def ingress(run: Run) -> dict[int, list[str]]:
    """Who may connect to each port of the pods, as the network policy says it."""
    found: dict[int, list[str]] = {}
    for rule in run.one("NetworkPolicy").inputs["spec"]["ingress"]:
        assert rule["from"] and rule["ports"], "everyone, or every port"
        for port in rule["ports"]:
            found.setdefault(port["port"], []).extend(who(peer) for peer in rule["from"])
    return found


def who(peer: dict[str, Any]) -> str:
    if "ipBlock" in peer:
        return peer["ipBlock"]["cidr"]
    if "podSelector" in peer:
        return "pods of the namespace" if peer == {"podSelector": {}} else str(peer)
    selector = peer["namespaceSelector"]
    if selector == {"matchLabels": {"diffusion-serving/client": "true"}}:
        return "namespaces of clients"
    (expression,) = selector["matchExpressions"]
    assert (expression["key"], expression["operator"]) == ("kubernetes.io/metadata.name", "In")
    return ", ".join(expression["values"])


CLIENTS = ["pods of the namespace", "namespaces of clients"]
COLLECTORS = ["gmp-system, gke-gmp-system"]


def test_nobody_reaches_the_model_server_and_only_collectors_the_metrics(run: Run) -> None:
    assert ingress(run) == {8080: CLIENTS, 8081: COLLECTORS}


@pytest.mark.parametrize(("exposed", "ports"), [("true", (8500, 8501)), ("rest", (8501,))])
def test_whom_the_model_server_is_exposed_to_reaches_its_exposed_ports(
    exposed: str, ports: tuple[int, ...]
) -> None:
    run = run_of("dev", exposeModelServer=exposed)
    raw = {port: [SOURCE_RANGES, *CLIENTS] for port in ports}
    assert ingress(run) == {8080: CLIENTS, 8081: COLLECTORS, **raw}
    assert [p["port"] for p in service(run).inputs["spec"]["ports"]] == list(ports)


def test_rest_can_be_exposed_without_grpc() -> None:
    run = run_of("dev", exposeModelServer="rest")
    assert "modelEndpoint" in run.outputs and "grpcEndpoint" not in run.outputs


def test_a_model_server_is_not_exposed_by_default_and_has_no_load_balancer(run: Run) -> None:
    assert {one.inputs["spec"]["type"] for one in run.of("kubernetes:core/v1:Service")} == {
        "ClusterIP"
    }
    reached = {"endpoint", "page", "modelEndpoint", "grpcEndpoint", "curl"}
    assert not reached & run.outputs.keys()


NAMED = pytest.mark.parametrize("name", ["web", "model-server"])


@NAMED
@pytest.mark.parametrize("internal", ["true", "false"])
def test_a_load_balancer_comes_and_goes_without_replacing_the_service(
    internal: str, name: str
) -> None:
    """A preview of a replacement is refused: it is applied to the existing Service."""
    exposed, hidden = (
        service(run_of("dev", internal=internal, exposeModelServer=way, allowPlainHttp=way), name)
        for way in ("true", "false")
    )
    assert exposed.inputs["spec"]["type"] != hidden.inputs["spec"]["type"]
    assert exposed.inputs["metadata"] == hidden.inputs["metadata"]
    assert "spec.type" not in exposed.replace_on_changes


@NAMED
def test_a_load_balancer_that_comes_later_has_as_long_as_the_first(run: Run, name: str) -> None:
    timeouts = service(run, name).custom_timeouts
    assert timeouts["update"] == timeouts["create"]


@NAMED
def test_changing_internal_replaces_the_service(run: Run, name: str) -> None:
    found = service(run, name)
    assert 'metadata.annotations["networking.gke.io/load-balancer-type"]' in (
        found.replace_on_changes
    )
    assert found.delete_before_replace


def test_pods_reach_only_dns_tokens_and_storage(run: Run) -> None:
    spec = run.one("NetworkPolicy").inputs["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["podSelector"] == run.one("Deployment").inputs["spec"]["selector"]
    out = {
        (to["ipBlock"]["cidr"], rule["ports"][0]["port"])
        for rule in spec["egress"]
        for to in rule.get("to", [])
    }
    # Without the metadata server there is no workload identity.
    assert {("169.254.169.254/32", 80), ("169.254.169.252/32", 988), ("0.0.0.0/0", 443)} == out
