"""What Kubernetes holds goes with the cluster at Google, though the API server keeps running."""

from __future__ import annotations

import httpx

from tests.gke.google_cloud import GoogleCloud

_KEPT = ("default", "kube-system", "kube-public", "kube-node-lease")
_MERGE = {"Content-Type": "application/merge-patch+json"}


class ClusterContents:
    """Called in a loop; empties the API server while there is no cluster."""

    def __init__(self, google: GoogleCloud, client: httpx.Client) -> None:
        self._google, self._client = google, client

    def step(self) -> None:
        if not self._google.resources("Cluster"):
            self.remove()

    def remove(self) -> None:
        for namespace in self.namespaces():
            root = f"/api/v1/namespaces/{namespace}"
            self._client.delete(root)
            for service in self._client.get(f"{root}/services").json()["items"]:
                # Nobody is left to remove the load balancer: its rules at Google stay.
                path = f"{root}/services/{service['metadata']['name']}"
                self._client.patch(path, json={"metadata": {"finalizers": None}}, headers=_MERGE)

    def namespaces(self) -> list[str]:
        found = self._client.get("/api/v1/namespaces").raise_for_status().json()["items"]
        return [one["metadata"]["name"] for one in found if one["metadata"]["name"] not in _KEPT]
