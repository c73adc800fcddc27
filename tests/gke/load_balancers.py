"""A stand-in for GKE's service controller: forwarding rules and firewalls of LoadBalancer Services.

Like the real one it keeps a Service until its rules at Google are gone, and never turns an
external load balancer into an internal one.
"""

from __future__ import annotations

from typing import Any

import httpx

from tests.gke.google_cloud import GoogleCloud

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
_INTERNAL = "networking.gke.io/load-balancer-type"
_MERGE = {"Content-Type": "application/merge-patch+json"}

Object = dict[str, Any]


class LoadBalancers:
    """Called in a loop. `address` is what every load balancer gets."""

    def __init__(self, google: GoogleCloud, client: httpx.Client, address: str) -> None:
        self._google, self._client, self._address = google, client, address

    def step(self) -> None:
        clusters = self._google.resources("Cluster")
        if not clusters:
            return  # the controller is a part of the cluster
        (cluster,) = clusters.values()
        for service in self._client.get("/api/v1/services").raise_for_status().json()["items"]:
            metadata, is_balanced = service["metadata"], service["spec"]["type"] == "LoadBalancer"
            if "deletionTimestamp" in metadata or not is_balanced:
                if FINALIZER in metadata.get("finalizers", []):
                    self._remove(service)
            elif not service["status"]["loadBalancer"].get("ingress"):
                self._add(service, cluster)

    def _add(self, service: Object, cluster: Object) -> None:
        annotations = service["metadata"].get("annotations", {})
        uid, path = service["metadata"]["uid"], _path(service)
        self._patch(path, {"metadata": {"finalizers": [FINALIZER]}})
        asked = service["spec"].get("loadBalancerIP", "")
        rule = {
            "kind": "ForwardingRule",
            "network": cluster["network"],
            "scheme": "INTERNAL" if annotations.get(_INTERNAL) == "Internal" else "EXTERNAL",
            "address": self._static_address(asked),
        }
        with self._google.changing() as resources:
            resources[f"forwardingRules/{uid}"] = rule
            resources[f"firewalls/{uid}"] = {"kind": "Firewall", "network": cluster["network"]}
        ingress = [{"ip": asked or self._address, "ipMode": "VIP"}]
        self._patch(f"{path}/status", {"status": {"loadBalancer": {"ingress": ingress}}})

    def _remove(self, service: Object) -> None:
        uid = service["metadata"]["uid"]
        with self._google.changing() as resources:
            resources.pop(f"forwardingRules/{uid}", None)
            resources.pop(f"firewalls/{uid}", None)
        path = _path(service)
        self._patch(f"{path}/status", {"status": {"loadBalancer": {"ingress": None}}})
        self._patch(path, {"metadata": {"finalizers": None}})

    def _static_address(self, ip: str) -> str | None:
        found = self._google.resources("Address").items()
        return next((id_ for id_, own in found if own["address"] == ip), None)

    def _patch(self, path: str, change: Object) -> None:
        self._client.patch(path, json=change, headers=_MERGE)


def _path(service: Object) -> str:
    metadata = service["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}"
