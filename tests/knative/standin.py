"""What Knative's operator, its controllers and a kubelet would do, as far as order is concerned.

Each needs the next one for its end, as the real ones do: a Service is ended by Knative, which is
ended by its operator.
"""

from __future__ import annotations

from typing import Any, cast

import httpx

_SERVING = "/apis/operator.knative.dev/v1beta1/namespaces/knative-serving/knativeservings"
_SERVICES = "/apis/serving.knative.dev/v1/namespaces/diffusion-serving/services"
_ROUTES = "/api/v1/namespaces/diffusion-serving/configmaps"
_PODS = "/api/v1/namespaces/diffusion-serving/pods"
_OPERATOR = "/api/v1/namespaces/knative-operator/configmaps/knative-operator"
_ROUTE = "route-of-diffusion"
_FINALIZER = "knativeservings.operator.knative.dev"
_ROUTE_FINALIZER = "lab.knative.dev/route"
_MERGE = {"Content-Type": "application/merge-patch+json"}
_READY = {"type": "Ready", "status": "True"}

Object = dict[str, Any]


class KnativeStandIn:
    """`ended`: what is gone, in the order in which it went."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.ended: list[str] = []
        self._seen: set[str] = set()

    def step(self) -> None:
        has_operator = self._client.get(_OPERATOR).status_code == 200
        self._note("operator", has_operator)
        servings = self._list(_SERVING)
        self._note("KnativeServing", bool(servings))
        for one in servings:
            self._operate(one, has_operator)
        has_knative = any("deletionTimestamp" not in one["metadata"] for one in servings)
        services = self._list(_SERVICES)
        self._note("Service", bool(services))
        for one in services:
            if has_knative and "deletionTimestamp" not in one["metadata"]:
                self._serve(one)
        for one in self._list(_ROUTES):
            if "deletionTimestamp" in one["metadata"] and has_knative:
                self._finish(f"{_ROUTES}/{one['metadata']['name']}")
        for one in self._list(_PODS):
            path = f"{_PODS}/{one['metadata']['name']}"
            self._status(path, {"phase": "Running", "conditions": [_READY]})

    def _operate(self, serving: Object, has_operator: bool) -> None:
        path = f"{_SERVING}/{serving['metadata']['name']}"
        if "deletionTimestamp" in serving["metadata"]:
            if has_operator:
                self._finish(path)
            return
        if _FINALIZER not in serving["metadata"].get("finalizers", []):
            self._patch(path, {"metadata": {"finalizers": [_FINALIZER]}})
        self._status(path, {"conditions": [_READY], "version": serving["spec"]["version"]})

    def _serve(self, service: Object) -> None:
        metadata = service["metadata"]
        name = service["spec"]["template"]["metadata"]["name"]
        self._client.post(_ROUTES, json=_route(metadata["name"], metadata["uid"]))
        self._status(
            f"{_SERVICES}/{metadata['name']}",
            {
                "observedGeneration": metadata["generation"],
                "conditions": [_READY],
                "latestReadyRevisionName": name,
                "latestCreatedRevisionName": name,
            },
        )

    def _note(self, what: str, is_there: bool) -> None:
        if is_there:
            self._seen.add(what)
        elif what in self._seen:
            self._seen.remove(what)
            self.ended.append(what)

    def _list(self, path: str) -> list[Object]:
        answer = self._client.get(path)
        return cast("list[Object]", answer.json()["items"]) if answer.status_code == 200 else []

    def _patch(self, path: str, change: Object) -> None:
        self._client.patch(path, json=change, headers=_MERGE)

    def _status(self, path: str, status: Object) -> None:
        self._patch(f"{path}/status", {"status": status})

    def _finish(self, path: str) -> None:
        self._patch(path, {"metadata": {"finalizers": None}})


def _route(name: str, uid: str) -> Object:
    """What belongs to a Service, and is ended by Knative."""
    owner = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    metadata = {"name": _ROUTE, "ownerReferences": [owner], "finalizers": [_ROUTE_FINALIZER]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
