"""The kinds of a Gateway and of GKE's policies for it, for an API server.

With the fields and limits that the documentation names for what is used here, and no others.
"""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string", "minLength": 1}
_PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
_HOSTNAME = {
    "type": "string",
    "maxLength": 253,
    "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
}


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _list(items: Any, most: int) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "maxItems": most, "items": items}


def _one_of(*values: object) -> dict[str, Any]:
    return {"type": "string" if isinstance(values[0], str) else "integer", "enum": list(values)}


def _number(least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most}


_TLS = _object(
    mode=_one_of("Terminate", "Passthrough"),
    options={"type": "object", "maxProperties": 16, "additionalProperties": _TEXT},
)
_LISTENER = _object(
    "name",
    "port",
    "protocol",
    name=_TEXT,
    port=_PORT,
    protocol=_one_of("HTTP", "HTTPS", "TLS", "TCP", "UDP"),
    hostname=_HOSTNAME,
    tls=_TLS,
)
_ADDRESS = _object("value", type=_TEXT, value=_TEXT)
_FILTER = _object(
    "type",
    type=_one_of("RequestRedirect"),
    requestRedirect=_object(scheme=_one_of("http", "https"), statusCode=_one_of(301, 302)),
)
_RULE = _object(
    filters=_list(_FILTER, 16), backendRefs=_list(_object("name", name=_TEXT, port=_PORT), 16)
)
_TARGET = _object(
    "group",
    "kind",
    "name",
    group={"type": "string"},
    kind=_one_of("Gateway", "Service"),
    name=_TEXT,
)
_BACKEND = _object(
    timeoutSec=_number(1, 2147483647),
    connectionDraining=_object(drainingTimeoutSec=_number(0, 3600)),
    sessionAffinity=_object(
        type=_one_of("CLIENT_IP", "GENERATED_COOKIE", "NONE"), cookieTtlSec=_number(0, 1209600)
    ),
    securityPolicy=_TEXT,
)
_HEALTH_CHECK = _object(
    checkIntervalSec=_number(1, 300),
    timeoutSec=_number(1, 300),
    healthyThreshold=_number(1, 10),
    unhealthyThreshold=_number(1, 10),
    config=_object(
        "type",
        "httpHealthCheck",
        type=_one_of("HTTP"),
        httpHealthCheck=_object(
            portSpecification=_one_of("USE_SERVING_PORT"),
            requestPath={"type": "string", "pattern": "^/"},
        ),
    ),
)


def _policy(default: dict[str, Any]) -> dict[str, Any]:
    return _object("targetRef", default=default, targetRef=_TARGET)


SPECS: dict[str, dict[str, Any]] = {
    "Gateway": _object(
        "gatewayClassName",
        "listeners",
        gatewayClassName=_TEXT,
        addresses=_list(_ADDRESS, 16),
        listeners=_list(_LISTENER, 64),
    ),
    "HTTPRoute": _object(
        parentRefs=_list(_object("name", name=_TEXT, sectionName=_TEXT), 32),
        hostnames=_list(_HOSTNAME, 16),
        rules=_list(_RULE, 16),
    ),
    "GCPGatewayPolicy": _policy(_object(sslPolicy=_TEXT)),
    "GCPBackendPolicy": _policy(_BACKEND),
    "HealthCheckPolicy": _policy(_HEALTH_CHECK),
}
_GATEWAY_API = ("Gateway", "HTTPRoute")


def collection(kind: str) -> str:
    return f"/apis/{_group(kind)}/v1/{_plural(kind)}"


def definition(kind: str) -> dict[str, Any]:
    """The kind's CustomResourceDefinition."""
    plural = _plural(kind)
    metadata: dict[str, Any] = {"name": f"{plural}.{_group(kind)}"}
    if kind in _GATEWAY_API:
        # Kubernetes keeps its own groups for what was reviewed, or says that it was not.
        metadata["annotations"] = {"api-approved.kubernetes.io": "unapproved, for tests"}
    schema = {"type": "object", "properties": {"spec": SPECS[kind]}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": _group(kind),
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
            },
            "versions": [version],
        },
    }


def _group(kind: str) -> str:
    return "gateway.networking.k8s.io" if kind in _GATEWAY_API else "networking.gke.io"


def _plural(kind: str) -> str:
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("policy") else f"{name}s"
