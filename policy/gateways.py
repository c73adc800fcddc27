"""Rules for the public way to a service through a Gateway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policy.resource import Resource, mapping, mappings

GUARDED_GATEWAY = "gke-l7-global-external-managed"
"""The class of public Gateways that these rules know how to close."""
_SECURITY_POLICY = "gcp:compute/securityPolicy:SecurityPolicy"
_LAST_PRIORITY = 2147483647


def public_gateways_are_guarded(resources: Sequence[Resource]) -> list[str]:
    """A public Gateway has TLS, and a security policy that says whom it lets in."""
    # The names alone: a preview does not know which policy a new one will be.
    guarded = {
        str(mapping(one.inputs, "spec", "targetRef").get("name"))
        for one in resources
        if _is(one, "GCPBackendPolicy")
        and "securityPolicy" in tuple(mapping(one.inputs, "spec", "default"))
    }
    found: list[str] = []
    for gateway in resources:
        if not _is(gateway, "Gateway") or _class_of(gateway) != GUARDED_GATEWAY:
            continue
        for route, parent in _routes_of(gateway, resources):
            backends = list(_backends(route))
            if backends and not _has_tls(gateway, parent):
                found.append(f"{route}: leads to {', '.join(backends)} without TLS")
            found += [
                f"{route}: leads to {name}, which has no GCPBackendPolicy with a securityPolicy"
                for name in backends
                if name not in guarded
            ]
    for one in resources:
        if one.type == _SECURITY_POLICY and not _refuses_others(one):
            found.append(f"{one}: lets in whoever no rule is about; its last rule must deny")
    return found


def _is(one: Resource, kind: str) -> bool:
    return one.is_kubernetes and one.kind == kind


def _class_of(gateway: Resource) -> str:
    return str(mapping(gateway.inputs, "spec").get("gatewayClassName"))


def _routes_of(
    gateway: Resource, resources: Sequence[Resource]
) -> Iterator[tuple[Resource, Mapping[str, Any]]]:
    """The routes of a Gateway, each with its reference to it."""
    name = mapping(gateway.inputs, "metadata").get("name")
    for one in resources:
        if one.is_kubernetes and one.kind.endswith("Route"):
            for parent in mappings(mapping(one.inputs, "spec").get("parentRefs")):
                if parent.get("name") == name:
                    yield one, parent


def _backends(route: Resource) -> Iterator[str]:
    for rule in mappings(mapping(route.inputs, "spec").get("rules")):
        for backend in mappings(rule.get("backendRefs")):
            yield str(backend.get("name"))


def _has_tls(gateway: Resource, parent: Mapping[str, Any]) -> bool:
    """Whether all listeners that the reference means do; without a name it means each."""
    named = parent.get("sectionName")
    listeners = mappings(mapping(gateway.inputs, "spec").get("listeners"))
    meant = [one for one in listeners if named in (None, one.get("name"))]
    return all(one.get("protocol") == "HTTPS" for one in meant)


def _refuses_others(security_policy: Resource) -> bool:
    rules = mappings(security_policy.inputs.get("rules"))
    last = [one for one in rules if one.get("priority") == _LAST_PRIORITY]
    return any(str(one.get("action")).startswith("deny") for one in last)
