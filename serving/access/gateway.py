"""The way from a domain to the web service: a Gateway, of which Google makes a load balancer.

The load balancer connects to the pods themselves, not through the Service: what that says of
affinity and readiness is said here once more, in GKE's own policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, meta

from serving.names import WEB
from serving.timing import (
    PROBE_PERIOD_SECONDS,
    draining_timeout_seconds,
    response_timeout_seconds,
)

GATEWAY_CLASS = "gke-l7-global-external-managed"
LOAD_BALANCER_RANGES = ("130.211.0.0/22", "35.191.0.0/16")
"""From which Google's global load balancers connect, with requests and with health checks."""
_GATEWAY_API = "gateway.networking.k8s.io"
_GKE_API = "networking.gke.io"
_GROUPS = {"Gateway": _GATEWAY_API, "HTTPRoute": _GATEWAY_API, "Service": ""}
"""Of kinds; the others are GKE's own."""
_HTTP, _HTTPS = "http", "https"
_PROBE_TIMEOUT_SECONDS = 5
_FAILED_PROBES = 3
_TIMEOUT = "20m"
"""Deleting a Gateway waits for its load balancer."""


@dataclass(frozen=True)
class Frontend:
    """The domain, and the names of what Google has for it.

    resources: all of that, which the load balancer uses until the Gateway is gone.
    """

    domain: str
    address: pulumi.Input[str]
    certificate: pulumi.Input[str]
    ssl_policy: pulumi.Input[str]
    security_policy: pulumi.Input[str]
    resources: Sequence[pulumi.Resource]


@dataclass(frozen=True)
class PublicGatewayArgs:
    """after: the Service that it leads to, and who may connect to its pods."""

    namespace: pulumi.Input[str]
    frontend: Frontend
    request_timeout_seconds: int
    after: Sequence[pulumi.Resource]


class PublicGateway(pulumi.ComponentResource):
    """HTTPS for the domain, and a redirection from HTTP.

    The way to the pods comes after all policies, and goes before them.
    """

    def __init__(
        self, name: str, args: PublicGatewayArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:serving:PublicGateway", name, {}, opts)
        self._name, self._namespace = name, args.namespace
        frontend, timeout = args.frontend, args.request_timeout_seconds
        before = [*args.after, *frontend.resources]
        gateway = self._object("Gateway", WEB, _gateway(frontend), before)
        tls = self._policy(
            "GCPGatewayPolicy", "Gateway", {"sslPolicy": frontend.ssl_policy}, [gateway]
        )
        backend = self._policy(
            "GCPBackendPolicy", "Service", _backend(frontend, timeout), args.after
        )
        health = self._policy("HealthCheckPolicy", "Service", _health_check(), args.after)
        to_service = {"backendRefs": [{"name": WEB, "port": 80}]}
        self._route(WEB, _HTTPS, frontend.domain, to_service, [gateway, tls, backend, health])
        to_https = {
            "filters": [
                {
                    "type": "RequestRedirect",
                    "requestRedirect": {"scheme": "https", "statusCode": 301},
                }
            ]
        }
        self._route(f"{WEB}-redirect", _HTTP, frontend.domain, to_https, [gateway])
        self.register_outputs({})

    def _route(
        self,
        name: str,
        listener: str,
        domain: str,
        rule: Mapping[str, Any],
        after: Sequence[pulumi.Resource],
    ) -> None:
        spec = {
            "parentRefs": [{"name": WEB, "sectionName": listener}],
            "hostnames": [domain],
            "rules": [rule],
        }
        self._object("HTTPRoute", name, spec, after)

    def _policy(
        self,
        kind: str,
        target: str,
        settings: Mapping[str, Any],
        after: Sequence[pulumi.Resource],
    ) -> pulumi.Resource:
        reference = {"group": _GROUPS[target], "kind": target, "name": WEB}
        spec = {"default": settings, "targetRef": reference}
        return self._object(kind, WEB, spec, after)

    def _object(
        self, kind: str, name: str, spec: Mapping[str, Any], after: Sequence[pulumi.Resource]
    ) -> pulumi.Resource:
        return apiextensions.CustomResource(
            f"{self._name}-{kind.lower()}-{name}",
            api_version=f"{_GROUPS.get(kind, _GKE_API)}/v1",
            kind=kind,
            metadata=meta.v1.ObjectMetaArgs(name=name, namespace=self._namespace),
            spec=spec,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(after),
                custom_timeouts=pulumi.CustomTimeouts(
                    create=_TIMEOUT, update=_TIMEOUT, delete=_TIMEOUT
                ),
            ),
        )


def _gateway(frontend: Frontend) -> dict[str, Any]:
    certificates = {f"{_GKE_API}/pre-shared-certs": frontend.certificate}
    return {
        "gatewayClassName": GATEWAY_CLASS,
        "addresses": [{"type": "NamedAddress", "value": frontend.address}],
        "listeners": [
            {"name": _HTTP, "protocol": "HTTP", "port": 80},
            {
                "name": _HTTPS,
                "protocol": "HTTPS",
                "port": 443,
                "tls": {"mode": "Terminate", "options": certificates},
            },
        ],
    }


def _backend(frontend: Frontend, request_timeout: int) -> dict[str, Any]:
    return {
        # Of a whole answer, a stream's, too; 30 s if nothing is said.
        "timeoutSec": response_timeout_seconds(request_timeout),
        "connectionDraining": {"drainingTimeoutSec": draining_timeout_seconds(request_timeout)},
        # A pod knows its own jobs only, and programs keep no cookies.
        "sessionAffinity": {"type": "CLIENT_IP"},
        "securityPolicy": frontend.security_policy,
    }


def _health_check() -> dict[str, Any]:
    """Of what Kubernetes asks, too: the load balancer also has pods that are not ready.

    A pod that stops is taken from the load balancer before it says that it is not ready, so that
    the answers which it still owes are waited for.
    """
    return {
        "checkIntervalSec": PROBE_PERIOD_SECONDS,
        "timeoutSec": _PROBE_TIMEOUT_SECONDS,
        "healthyThreshold": 1,
        "unhealthyThreshold": _FAILED_PROBES,
        "config": {
            "type": "HTTP",
            "httpHealthCheck": {"portSpecification": "USE_SERVING_PORT", "requestPath": "/ready"},
        },
    }
