"""The kind PodMonitoring, which GKE adds to a cluster with Managed Prometheus, for an API server.

With the fields that the documentation names for what is used here, and no others.
"""

from __future__ import annotations

from typing import Any

_GROUP, _VERSION = "monitoring.googleapis.com", "v1"
_TEXT = {"type": "string"}
_DURATION = {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"}
_SELECTOR = {
    "type": "object",
    "properties": {
        "matchLabels": {"type": "object", "additionalProperties": _TEXT},
        "matchExpressions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["key", "operator"],
                "properties": {
                    "key": _TEXT,
                    "operator": _TEXT,
                    "values": {"type": "array", "items": _TEXT},
                },
            },
        },
    },
}
_ENDPOINT = {
    "type": "object",
    "required": ["port", "interval"],
    "properties": {
        "port": {"anyOf": [{"type": "integer"}, _TEXT], "x-kubernetes-int-or-string": True},
        "interval": _DURATION,
        "timeout": _DURATION,
        "path": _TEXT,
        "scheme": {"type": "string", "enum": ["http", "https"]},
    },
}
SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["selector", "endpoints"],
    "properties": {
        "selector": _SELECTOR,
        "endpoints": {"type": "array", "minItems": 1, "maxItems": 10, "items": _ENDPOINT},
    },
}
CUSTOM_RESOURCE_DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"podmonitorings.{_GROUP}"},
    "spec": {
        "group": _GROUP,
        "scope": "Namespaced",
        "names": {
            "kind": "PodMonitoring",
            "listKind": "PodMonitoringList",
            "plural": "podmonitorings",
            "singular": "podmonitoring",
        },
        "versions": [
            {
                "name": _VERSION,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": SPEC,
                            "status": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            },
                        },
                    }
                },
            }
        ],
    },
}
COLLECTION = f"/apis/{_GROUP}/{_VERSION}/podmonitorings"
