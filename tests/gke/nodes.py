"""A stand-in for GKE's nodes: the pools' Node objects, and a kubelet that only reports.

No container runs: a pod on a node is reported Running and ready, or as failing if its image is
named in `broken` or one of its images is not in the stack's registry.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import httpx

from infra.settings.machines import MACHINE_TYPES
from tests.gke.artifact_registry import HOST, ArtifactRegistry
from tests.gke.google_cloud import GoogleCloud

Object = dict[str, Any]
_MERGE = {"Content-Type": "application/merge-patch+json"}
_CRASHES = "CrashLoopBackOff"
_RESTART_SECONDS = 1.0


class Nodes:
    """Called in a loop; follows the node pools at Google and the pods in the API server."""

    def __init__(
        self, google: GoogleCloud, registry: ArtifactRegistry, client: httpx.Client
    ) -> None:
        self._google, self._registry, self._client = google, registry, client
        self._pulled: set[str] = set()
        self._counts: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self.broken: dict[str, str] = {}
        """What its containers wait for, such as CrashLoopBackOff, by the end of an image's name."""
        self.starting_seconds = 0.3
        """How long a pod needs until it is ready."""

    def step(self) -> None:
        pods: list[Object] = self._get("/api/v1/pods")["items"]
        self._follow_pools(pods)
        for pod in pods:
            if not pod["spec"].get("nodeName"):
                continue
            if "deletionTimestamp" in pod["metadata"]:
                self._client.request("DELETE", _path(pod), json={"gracePeriodSeconds": 0})
            else:
                self._report(pod)

    def _follow_pools(self, pods: list[Object]) -> None:
        pools = self._google.resources("NodePool")
        wanted: dict[str, tuple[str, Object]] = {}
        for id_, pool in pools.items():
            limits = pool.get("autoscaling") or {}
            fewest = max(1, int(limits.get("totalMinNodeCount", 1)))
            most = int(limits.get("totalMaxNodeCount", fewest))
            count = self._counts.setdefault(id_, fewest)
            if count < most and any(_is_unschedulable(pod) for pod in pods):
                self._counts[id_] = count = count + 1
            for number in range(count):
                wanted[f"{pool['name']}-{number}"] = (id_, pool)
        known = {node["metadata"]["name"] for node in self._get("/api/v1/nodes")["items"]}
        for name in wanted.keys() - known:
            self._client.post("/api/v1/nodes", json=_node(name, wanted[name][1]))
        for name in known - wanted.keys():
            self._client.delete(f"/api/v1/nodes/{name}")
            for pod in pods:
                if pod["spec"].get("nodeName") == name:
                    self._client.request("DELETE", _path(pod), json={"gracePeriodSeconds": 0})

    def _report(self, pod: Object) -> None:
        uid, now = pod["metadata"]["uid"], time.monotonic()
        age = now - self._since.setdefault(uid, now)
        images = [one["image"] for one in pod["spec"]["containers"]]
        reason = next((why for end, why in self.broken.items() if images[0].endswith(end)), None)
        reason = reason or (None if all(map(self._can_pull, images)) else "ImagePullBackOff")
        if reason is None and age < self.starting_seconds:
            return
        status = _status(pod, reason, int(age / _RESTART_SECONDS) + 1)
        seen = pod.get("status", {}).get("containerStatuses")
        if seen != status["containerStatuses"]:
            self._client.patch(f"{_path(pod)}/status", json={"status": status}, headers=_MERGE)

    def _can_pull(self, image: str) -> bool:
        if image.startswith(f"{HOST}/") and image not in self._pulled:
            if not self._registry.has(image):
                return False
            self._pulled.add(image)
        return True

    def _get(self, path: str) -> Any:
        return self._client.get(path).raise_for_status().json()


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _is_unschedulable(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c.get("reason") == "Unschedulable" for c in conditions)


def _node(name: str, pool: Object) -> Object:
    config = pool["nodeConfig"]
    room = MACHINE_TYPES[config["machineType"]].room()
    amounts = {
        "cpu": f"{room.millicpu}m",
        "memory": f"{room.memory_mib}Mi",
        "ephemeral-storage": "50Gi",
        "pods": "64",
    }
    labels = {
        "kubernetes.io/hostname": name,
        "topology.kubernetes.io/zone": "us-central1-c",
        "cloud.google.com/gke-nodepool": pool["name"],
        **(config.get("labels") or {}),
    }
    effects = {"NO_SCHEDULE": "NoSchedule", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}
    taints = [
        {**taint, "effect": effects.get(taint["effect"], "NoExecute")}
        for taint in config.get("taints") or []
    ]
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"providerID": f"gce://{name}", "taints": taints},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]},
    }


def _status(pod: Object, reason: str | None, restarts: int) -> Object:
    """The pod's status: ready, or with containers that wait for `reason`."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    is_ready = reason is None
    state: Object = {"running": {"startedAt": now}}
    last: Object = {}
    if not is_ready:
        state = {"waiting": {"reason": reason, "message": f"stand-in: {reason}"}}
        if reason == _CRASHES:
            last = {"terminated": {"exitCode": 1, "reason": "Error"}}
    seen = {c["name"]: c for c in pod.get("status", {}).get("containerStatuses", [])}
    containers: list[Object] = []
    for spec in pod["spec"]["containers"]:
        if is_ready and "running" in seen.get(spec["name"], {}).get("state", {}):
            state = seen[spec["name"]]["state"]
        containers.append(
            {
                "name": spec["name"],
                "image": spec["image"],
                "imageID": "",
                "ready": is_ready,
                "started": is_ready,
                "restartCount": restarts if last else 0,
                "state": state,
                "lastState": last,
            }
        )
    done = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    initial = [
        {
            "name": spec["name"],
            "image": spec["image"],
            "imageID": "",
            "ready": True,
            "restartCount": 0,
            "state": done,
            "lastState": {},
        }
        for spec in pod["spec"].get("initContainers", [])
    ]
    kept = [c for c in pod.get("status", {}).get("conditions", []) if c["type"] == "PodScheduled"]
    flags = {"Initialized": True, "ContainersReady": is_ready, "Ready": is_ready}
    conditions = [
        {"type": name, "status": str(value), "lastTransitionTime": now}
        for name, value in flags.items()
    ]
    return {
        "phase": "Running" if is_ready or last else "Pending",
        "conditions": [*kept, *conditions],
        "containerStatuses": containers,
        "initContainerStatuses": initial,
        "podIP": "10.4.0.9",
        "podIPs": [{"ip": "10.4.0.9"}],
        "hostIP": "10.0.0.2",
        "startTime": pod.get("status", {}).get("startTime", now),
    }
