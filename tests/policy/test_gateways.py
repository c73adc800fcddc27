"""Rules for a public Gateway: TLS, and a policy of whom it lets in, behind every route."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policy import rules
from policy.resource import Resource

HTTP = {"name": "http", "protocol": "HTTP", "port": 80}
HTTPS = {"name": "https", "protocol": "HTTPS", "port": 443}
CLASS = "gke-l7-global-external-managed"


def kubernetes(kind: str, spec: dict[str, Any]) -> Resource:
    inputs = {"metadata": {"name": "web"}, "spec": spec}
    return Resource(f"kubernetes:{kind}", "w", inputs)


GATEWAY = kubernetes(
    "gateway.networking.k8s.io/v1:Gateway",
    {"gatewayClassName": CLASS, "listeners": [HTTP, HTTPS]},
)


def route(section: str | None, backend: str = "web", kind: str = "HTTPRoute") -> Resource:
    parent = {"name": "web"} | ({"sectionName": section} if section else {})
    spec = {"parentRefs": [parent], "rules": [{"backendRefs": [{"name": backend}]}]}
    return kubernetes(f"gateway.networking.k8s.io/v1:{kind}", spec)


REDIRECT = kubernetes(
    "gateway.networking.k8s.io/v1:HTTPRoute",
    {
        "parentRefs": [{"name": "web", "sectionName": "http"}],
        "rules": [{"filters": [{"type": "RequestRedirect"}]}],
    },
)


def backend_policy(**default: Any) -> Resource:
    spec = {"default": default, "targetRef": {"kind": "Service", "name": "web"}}
    return kubernetes("networking.gke.io/v1:GCPBackendPolicy", spec)


GUARD = backend_policy(securityPolicy="mine")


def security_policy(*rules: dict[str, Any]) -> Resource:
    return Resource("gcp:compute/securityPolicy:SecurityPolicy", "s", {"rules": list(rules)})


ALLOW = {"action": "allow", "priority": 1000}
DENY = {"action": "deny(403)", "priority": 2147483647}


def found(*resources: Resource) -> list[str]:
    return rules.public_gateways_are_guarded(list(resources))


def test_a_guarded_gateway_with_tls_is_not_remarked_on() -> None:
    assert found(GATEWAY, route("https"), REDIRECT, GUARD, security_policy(ALLOW, DENY)) == []
    assert rules.only_load_balancers_are_exposed([GATEWAY]) == []


@pytest.mark.parametrize("section", ["http", None])
@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_a_service_that_a_public_gateway_leads_to_without_tls_is_reported(
    section: str | None, kind: str
) -> None:
    (line,) = found(GATEWAY, route(section, kind=kind), GUARD)
    assert line == f"{kind} w: leads to web without TLS"


@pytest.mark.parametrize("policies", [[], [backend_policy(timeoutSec=600)]])
def test_a_public_service_without_a_security_policy_is_reported(policies: list[Resource]) -> None:
    (line,) = found(GATEWAY, route("https"), *policies)
    assert "leads to web, which has no GCPBackendPolicy with a securityPolicy" in line
    (line,) = found(GATEWAY, route("https", backend="another"), GUARD)
    assert "leads to another" in line


@pytest.mark.parametrize("given", [(), (ALLOW,), (ALLOW, {**DENY, "action": "allow"})])
def test_a_security_policy_that_lets_in_everybody_else_is_reported(
    given: tuple[dict[str, Any], ...],
) -> None:
    (line,) = found(security_policy(*given))
    assert "lets in whoever no rule is about" in line


def test_an_internal_gateway_needs_neither() -> None:
    inputs = {**GATEWAY.inputs, "spec": {**GATEWAY.inputs["spec"], "gatewayClassName": "x-rilb"}}
    assert found(replace(GATEWAY, inputs=inputs), route("http")) == []
