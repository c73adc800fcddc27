"""A stand-in for GKE's controllers of Gateways and network endpoint groups (NEGs).

Like the real ones they keep a Gateway, and the Service behind it, until what they made at Google is
gone, and they end with the cluster. A ConfigMap stands for the ServiceNetworkEndpointGroup, which
belongs to the Service and has the finalizer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from tests.gke.google_cloud import GoogleCloud
from tests.serving import gateway_kinds

GATEWAY_FINALIZER = "gateway.finalizer.networking.gke.io"
NEG_FINALIZER = "networking.gke.io/neg-finalizer"
UNGUARDED = "a service is open to everybody"
_NEG_LABEL = {"lab/neg": "true"}
_MERGE = {"Content-Type": "application/merge-patch+json"}

Object = dict[str, Any]


class Gateways:
    """Called in a loop."""

    def __init__(self, google: GoogleCloud, client: httpx.Client) -> None:
        self._google, self._client = google, client

    def step(self) -> None:
        clusters = self._google.resources("Cluster")
        gateways = list(self._list(gateway_kinds.collection("Gateway")))
        negs = list(self._list("/api/v1/configmaps?labelSelector=lab/neg%3Dtrue"))
        if not clusters:
            self._let_go([*gateways, *negs])
            return
        (cluster,) = clusters.values()
        for gateway in gateways:
            if "deletionTimestamp" in gateway["metadata"]:
                self._forget("targetProxies", gateway)
                self._forget_backends()
                self._let_go([gateway])
            else:
                self._make_proxy(gateway, cluster)
        routes = [one for one in self._list(gateway_kinds.collection("HTTPRoute")) if _leads(one)]
        for route in routes if gateways else []:
            self._make_backend(route, cluster)
        for neg in negs:
            if not routes or "deletionTimestamp" in neg["metadata"]:
                self._forget("networkEndpointGroups", neg)
                self._let_go([neg])
                self._client.delete(_path(neg))

    def _make_proxy(self, gateway: Object, cluster: Object) -> None:
        self._finalize(gateway, GATEWAY_FINALIZER)
        spec = gateway["spec"]
        (certificate,) = (
            one["tls"]["options"]["networking.gke.io/pre-shared-certs"]
            for one in spec["listeners"]
            if "tls" in one
        )
        proxy = {
            "kind": "TargetProxy",
            "network": cluster["network"],
            "certificate": self._named("ManagedSslCertificate", certificate),
            "address": self._named("GlobalAddress", spec["addresses"][0]["value"]),
            "sslPolicy": self._policy("GCPGatewayPolicy", "SSLPolicy", "sslPolicy"),
        }
        self._keep("targetProxies", gateway, proxy)

    def _make_backend(self, route: Object, cluster: Object) -> None:
        (name,) = (one["name"] for rule in route["spec"]["rules"] for one in rule["backendRefs"])
        namespace = route["metadata"]["namespace"]
        root = f"/api/v1/namespaces/{namespace}"
        service = self._client.get(f"{root}/services/{name}").raise_for_status().json()
        guard = self._policy("GCPBackendPolicy", "SecurityPolicy", "securityPolicy")
        if guard is None:
            self._google.note(UNGUARDED)
        owner = {"apiVersion": "v1", "kind": "Service", "name": name}
        metadata = {
            "name": f"neg-{name}",
            "namespace": namespace,
            "labels": _NEG_LABEL,
            "finalizers": [NEG_FINALIZER],
            "ownerReferences": [owner | {"uid": service["metadata"]["uid"]}],
        }
        answer = self._client.post(f"{root}/configmaps", json={"metadata": metadata})
        if answer.status_code == 201:
            neg = {"kind": "NetworkEndpointGroup", "network": cluster["network"]}
            self._keep("networkEndpointGroups", answer.json(), neg)
        self._keep("backendServices", route, {"kind": "BackendService", "securityPolicy": guard})

    def _forget_backends(self) -> None:
        """A load balancer keeps what its routes led to until it goes."""
        with self._google.changing() as resources:
            for id_ in [id_ for id_ in resources if id_.startswith("backendServices/")]:
                del resources[id_]

    def _policy(self, kind: str, of: str, field: str) -> str | None:
        """The id of what GKE's policy of this kind names; None if there is no such policy."""
        for one in self._list(gateway_kinds.collection(kind)):
            return self._named(of, one["spec"]["default"][field])
        return None

    def _named(self, kind: str, name: str) -> str | None:
        found = self._google.resources(kind).items()
        return next((id_ for id_, own in found if own["name"] == name), None)

    def _keep(self, folder: str, owner: Object, made: Object) -> None:
        with self._google.changing() as resources:
            resources[f"{folder}/{owner['metadata']['uid']}"] = made

    def _forget(self, folder: str, owner: Object) -> None:
        with self._google.changing() as resources:
            resources.pop(f"{folder}/{owner['metadata']['uid']}", None)

    def _list(self, path: str) -> Iterator[Object]:
        answer = self._client.get(path).raise_for_status().json()
        kind = answer["kind"].removesuffix("List")
        for one in answer["items"]:
            yield {"kind": kind, **one}

    def _finalize(self, one: Object, finalizer: str) -> None:
        if finalizer not in one["metadata"].get("finalizers", []):
            change = {"metadata": {"finalizers": [finalizer]}}
            self._client.patch(_path(one), json=change, headers=_MERGE)

    def _let_go(self, objects: list[Object]) -> None:
        for one in objects:
            change = {"metadata": {"finalizers": None}}
            self._client.patch(_path(one), json=change, headers=_MERGE)


def _leads(route: Object) -> bool:
    """Whether it leads to a Service."""
    is_there = "deletionTimestamp" not in route["metadata"]
    return is_there and any("backendRefs" in rule for rule in route["spec"]["rules"])


def _path(one: Object) -> str:
    metadata = one["metadata"]
    in_namespace = f"namespaces/{metadata['namespace']}"
    if one["kind"] == "ConfigMap":
        return f"/api/v1/{in_namespace}/configmaps/{metadata['name']}"
    root, _, plural = gateway_kinds.collection(one["kind"]).rpartition("/")
    return f"{root}/{in_namespace}/{plural}/{metadata['name']}"
