"""A Deployment, its ReplicaSets, pods and events in the shapes of the Kubernetes API's JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from serving.workloads.rollout_state import REVISION, RolloutState, rollout_state

LABELS = {"app.kubernetes.io/name": "model-server", "app.kubernetes.io/part-of": "x"}
START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
POD = "model-server-7d9c-new"
MAIN, INIT = "model-server", "wait-for-model"


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def terminated(code: int, reason: str = "Error", at: datetime = START) -> dict[str, Any]:
    times = {"startedAt": stamp(at), "finishedAt": stamp(at)}
    return {"terminated": {"exitCode": code, "reason": reason, **times}}


RUNNING = {"running": {"startedAt": stamp(START)}}
COMPLETED = terminated(0, "Completed")


def crashed_in_a_minute() -> dict[str, Any]:
    """A container whose third end counts for a wait that begins when this test runs."""
    last = terminated(1, at=datetime.now(UTC) + timedelta(minutes=1))
    return container(waiting("CrashLoopBackOff"), last=last, restarts=2)


def container(
    state: dict[str, Any],
    *,
    name: str = MAIN,
    last: dict[str, Any] | None = None,
    restarts: int = 0,
    ready: bool = False,
) -> dict[str, Any]:
    """A container's status."""
    return {
        "name": name,
        "state": state,
        "lastState": last or {},
        "restartCount": restarts,
        "ready": ready,
        "started": ready,
        "image": "docker.io/tensorflow/serving:2.20.0",
    }


def pod(
    *containers: dict[str, Any],
    init: dict[str, Any] | None = None,
    name: str = POD,
    owner: str = "new",
    unschedulable: str = "",
    phase: str = "Pending",
    deleting: bool = False,
    sidecar: str = "",
) -> dict[str, Any]:
    ready = bool(containers) and all(one["ready"] for one in containers)
    scheduled: dict[str, Any] = {"type": "PodScheduled", "status": "True"}
    if unschedulable:
        scheduled |= {"status": "False", "reason": "Unschedulable", "message": unschedulable}
    conditions = [scheduled, {"type": "Ready", "status": "True" if ready else "False"}]
    inits: list[dict[str, Any]] = [{"name": INIT}]
    if sidecar:
        inits.append({"name": sidecar, "restartPolicy": "Always"})
    status = {
        "phase": phase,
        "conditions": conditions,
        "containerStatuses": list(containers),
        "initContainerStatuses": [init] if init else [],
    }
    gone = {"deletionTimestamp": stamp(START)} if deleting else {}
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-of-{name}",
            "labels": LABELS,
            "ownerReferences": [{"kind": "ReplicaSet", "uid": f"rs-{owner}", "controller": True}],
            **gone,
        },
        "spec": {
            "initContainers": inits,
            "containers": [{"name": MAIN}],
            **({} if unschedulable else {"nodeName": "node-1"}),
        },
        "status": status,
    }


SERVING = container(RUNNING, ready=True)


def event(reason: str, message: str, at: datetime = START, name: str = POD) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}.{reason}", "creationTimestamp": stamp(at)},
        "involvedObject": {"kind": "Pod", "name": name, "uid": f"uid-of-{name}"},
        "reason": reason,
        "message": message,
        "firstTimestamp": stamp(at),
        "lastTimestamp": stamp(at),
        "eventTime": None,
        "series": None,
        "type": "Normal",
    }


def deployment(
    *,
    desired: int = 1,
    updated: int = 1,
    total: int = 1,
    available: int = 0,
    generation: int = 2,
    observed: int = 2,
    revision: str = "2",
    conditions: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    """Zeros are left out, as the API leaves them out."""
    counts = {"updatedReplicas": updated, "replicas": total, "availableReplicas": available}
    return {
        "metadata": {
            "name": "model-server",
            "uid": "deployment-1",
            "generation": generation,
            "annotations": {REVISION: revision},
        },
        "spec": {"replicas": desired, "selector": {"matchLabels": LABELS}},
        "status": {
            "observedGeneration": observed,
            "conditions": list(conditions),
            **{key: count for key, count in counts.items() if count},
        },
    }


def replica_set(owner: str, revision: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"model-server-{owner}",
            "uid": f"rs-{owner}",
            "annotations": {REVISION: revision},
            "ownerReferences": [{"kind": "Deployment", "uid": "deployment-1", "controller": True}],
        }
    }


OLD, NEW = replica_set("old", "1"), replica_set("new", "2")


@dataclass
class Cluster:
    """What the API answers; `state` is what the program makes of it, some time after START."""

    deployment: dict[str, Any] = field(default_factory=deployment)
    replica_sets: list[dict[str, Any]] = field(default_factory=lambda: [OLD, NEW])
    pods: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def state(self, **after: float) -> RolloutState:
        now = START + timedelta(**after)
        return rollout_state(self.deployment, self.replica_sets, self.pods, self.events, now)
