"""A domain: the way to the web service through a Gateway with TLS."""

from __future__ import annotations

from typing import Any

import pytest

from render.placeholders import SOURCE_RANGES
from render.recorder import Registered, Run
from serving import timing
from tests.serving.access.test_access import CLIENTS, COLLECTORS, ingress
from tests.stacks import GKE_STACKS, container, goes_before, kubernetes_objects, run_of, service
from web.server import KEEP_ALIVE_SECONDS

DOMAIN = "draw.example.com"
LOAD_BALANCER = ["130.211.0.0/22", "35.191.0.0/16"]
KINDS = ("Gateway", "HTTPRoute", "GCPGatewayPolicy", "GCPBackendPolicy", "HealthCheckPolicy")


@pytest.fixture(params=GKE_STACKS)
def run(request: pytest.FixtureRequest) -> Run:
    return run_of(request.param, domain=DOMAIN)


def route(run: Run, listener: str) -> Registered:
    """The only route of a listener."""
    (found,) = (
        one
        for one in run.of("HTTPRoute")
        if one.inputs["spec"]["parentRefs"] == [{"name": "web", "sectionName": listener}]
    )
    return found


def policy(run: Run, kind: str, target: tuple[str, str] = ("", "Service")) -> dict[str, Any]:
    spec = run.one(kind).inputs["spec"]
    group, kind = target
    assert spec["targetRef"] == {"group": group, "kind": kind, "name": "web"}
    return spec["default"]


@pytest.mark.parametrize("stack", GKE_STACKS)
def test_without_a_domain_there_is_no_gateway(stack: str) -> None:
    assert not any(run_of(stack).of(kind) for kind in KINDS)


def test_the_page_is_at_the_domain_over_tls_and_its_address_is_an_output(run: Run) -> None:
    assert run.outputs["page"] == run.outputs["endpoint"] == f"https://{DOMAIN}"
    assert run.outputs["address"] == "203.0.113.1"


def test_the_gateway_has_the_domains_address_and_certificate(run: Run) -> None:
    spec = run.one("Gateway").inputs["spec"]
    assert spec["gatewayClassName"] == "gke-l7-global-external-managed"
    (address,), (certificate,) = run.of("GlobalAddress"), run.of("ManagedSslCertificate")
    assert spec["addresses"] == [{"type": "NamedAddress", "value": address.outputs["name"]}]
    https = next(one for one in spec["listeners"] if one["port"] == 443)
    assert https["protocol"] == "HTTPS"
    assert https["tls"] == {
        "mode": "Terminate",
        "options": {"networking.gke.io/pre-shared-certs": certificate.outputs["name"]},
    }


def test_only_tls_leads_to_the_web_service_and_http_is_redirected_to_it(run: Run) -> None:
    secure, plain = (route(run, name).inputs["spec"] for name in ("https", "http"))
    assert secure["hostnames"] == plain["hostnames"] == [DOMAIN]
    assert secure["rules"] == [{"backendRefs": [{"name": "web", "port": 80}]}]
    (rule,) = plain["rules"]
    redirect = {"scheme": "https", "statusCode": 301}
    assert rule == {"filters": [{"type": "RequestRedirect", "requestRedirect": redirect}]}
    listeners = run.one("Gateway").inputs["spec"]["listeners"]
    assert {(one["name"], one["port"]) for one in listeners} == {("http", 80), ("https", 443)}


def test_tls_is_of_version_1_2_or_later(run: Run) -> None:
    (made,) = run.of("SSLPolicy")
    assert (made.inputs["minTlsVersion"], made.inputs["profile"]) == ("TLS_1_2", "MODERN")
    target = ("gateway.networking.k8s.io", "Gateway")
    assert policy(run, "GCPGatewayPolicy", target) == {"sslPolicy": made.outputs["name"]}


@pytest.mark.parametrize("seconds", [1, 3600])
def test_the_load_balancer_waits_longer_than_any_request_takes(seconds: int) -> None:
    run = run_of("dev", domain=DOMAIN, requestTimeoutSeconds=str(seconds))
    assert policy(run, "GCPBackendPolicy")["timeoutSec"] > seconds
    assert f"--deadline={seconds}" in container(run, "web")["args"]


@pytest.mark.parametrize("seconds", [1, 3600])
def test_the_load_balancer_leaves_a_stopping_pod_its_open_requests_to_its_end(seconds: int) -> None:
    run = run_of("dev", domain=DOMAIN, requestTimeoutSeconds=str(seconds))
    draining = policy(run, "GCPBackendPolicy")["connectionDraining"]["drainingTimeoutSec"]
    assert draining == min(3600, timing.grace_period_seconds(seconds))


def test_a_pod_keeps_idle_connections_longer_than_the_load_balancer_does() -> None:
    """600 s, Google documents: it would send a request into one that has just been closed."""
    assert KEEP_ALIVE_SECONDS > 600


def test_requests_of_an_address_go_to_one_pod_through_the_load_balancer_too(run: Run) -> None:
    assert policy(run, "GCPBackendPolicy")["sessionAffinity"] == {"type": "CLIENT_IP"}


def test_the_load_balancer_asks_what_kubernetes_asks_a_pod_that_is_ready(run: Run) -> None:
    check = policy(run, "HealthCheckPolicy")
    probe = container(run, "web")["readinessProbe"]
    assert check["config"] == {
        "type": "HTTP",
        "httpHealthCheck": {
            "portSpecification": "USE_SERVING_PORT",
            "requestPath": probe["httpGet"]["path"],
        },
    }
    assert check["checkIntervalSec"] == probe["periodSeconds"]
    assert check["unhealthyThreshold"] == probe["failureThreshold"]
    assert check["timeoutSec"] <= check["checkIntervalSec"]


def test_googles_load_balancers_and_they_alone_reach_the_pods_from_outside(run: Run) -> None:
    assert ingress(run) == {8080: [*LOAD_BALANCER, *CLIENTS], 8081: COLLECTORS}
    assert service(run, "web").inputs["spec"]["type"] == "ClusterIP"


def test_an_exposed_model_server_is_not_open_to_the_domains_load_balancer() -> None:
    run = run_of("dev", domain=DOMAIN, exposeModelServer="rest")
    assert ingress(run) == {
        8080: [*LOAD_BALANCER, *CLIENTS],
        8081: COLLECTORS,
        8501: [SOURCE_RANGES, *CLIENTS],
    }


def test_no_route_leads_to_the_pods_without_the_policies(run: Run) -> None:
    secure = route(run, "https")
    for kind in ("GCPBackendPolicy", "HealthCheckPolicy", "GCPGatewayPolicy", "NetworkPolicy"):
        assert goes_before(run, secure, kind), kind
    backend = policy(run, "GCPBackendPolicy")
    assert backend["securityPolicy"] == run.one("SecurityPolicy").outputs["name"]


def test_a_destroy_waits_for_the_load_balancer_before_what_it_uses_goes(run: Run) -> None:
    """Google's controllers take it down, with finalizers, while the cluster works."""
    namespace = run.one("kubernetes:core/v1:Namespace")
    for kind in KINDS:
        for one in run.of(kind):
            assert one.deleted_with == "" and one.custom_timeouts["delete"] == "20m", one.name
            assert goes_before(run, one, namespace)
            assert goes_before(run, one, "gcp:container/cluster:Cluster")
    for kind in ("GlobalAddress", "ManagedSslCertificate", "SSLPolicy", "SecurityPolicy"):
        assert goes_before(run, "Gateway", kind)
    assert namespace.deleted_with == ""


def test_a_domain_changes_nothing_in_the_pods() -> None:
    with_domain, without = (run_of("dev", domain=one) for one in (DOMAIN, ""))
    of_pods = [run.one("Deployment").inputs for run in (with_domain, without)]
    assert of_pods[0] == of_pods[1]
    assert len(kubernetes_objects(with_domain)) == len(kubernetes_objects(without)) + 6
