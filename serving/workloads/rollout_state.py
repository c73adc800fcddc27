"""What the Kubernetes API tells of a rollout: the Deployment, its new pods, and what they say.

Reads the JSON of the API into the few facts that a verdict needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]

REVISION = "deployment.kubernetes.io/revision"
"""On the Deployment, and on the ReplicaSet of its current pod template."""
_POD_NAME = re.compile(r'^pods? "[^"]*" is (?:forbidden|invalid): ', re.IGNORECASE)


@dataclass(frozen=True)
class Container:
    """`ends` counts how often it ended, with success or not; exit_* and ended_at are of the last.

    reason and message: why it waits, such as CrashLoopBackOff; empty if it does not.
    """

    name: str
    is_init: bool
    ready: bool
    running: bool
    ends: int
    exit_code: int | None
    exit_reason: str
    ended_at: datetime | None
    reason: str
    message: str

    @classmethod
    def parse(cls, status: Json, *, is_init: bool) -> Container:
        state = _part(status, "state")
        ended = _part(state, "terminated") or _part(status, "lastState", "terminated")
        waiting = _part(state, "waiting")
        running = "running" in state
        restarts = int(status.get("restartCount", 0))
        return cls(
            name=str(status["name"]),
            is_init=is_init,
            ready=bool(status.get("ready")),
            running=running,
            ends=restarts + (1 if ended and not running else 0),
            exit_code=ended.get("exitCode"),
            exit_reason=str(ended.get("reason", "")),
            ended_at=_moment(ended.get("finishedAt")),
            reason=str(waiting.get("reason", "")),
            message=_one_line(waiting.get("message")),
        )


@dataclass(frozen=True)
class Event:
    """The last time that something was said of a pod."""

    reason: str
    message: str
    at: datetime


@dataclass(frozen=True)
class Pod:
    """unschedulable: why no node takes it, if so; events: the latest first."""

    name: str
    ready: bool
    has_node: bool
    unschedulable: str
    containers: tuple[Container, ...]
    events: tuple[Event, ...]

    @classmethod
    def parse(cls, pod: Json, events: Sequence[Json]) -> Pod:
        status, spec = _part(pod, "status"), _part(pod, "spec")
        conditions = {str(one["type"]): one for one in _parts(status, "conditions")}
        scheduled = _part(conditions, "PodScheduled")
        refused = scheduled.get("reason") == "Unschedulable"
        # A sidecar is an init container that runs as long as the others.
        inits = _parts(spec, "initContainers")
        sidecars = {one["name"] for one in inits if one.get("restartPolicy") == "Always"}
        return cls(
            name=pod["metadata"]["name"],
            ready=_part(conditions, "Ready").get("status") == "True",
            has_node=bool(spec.get("nodeName")),
            unschedulable=_one_line(scheduled.get("message")) if refused else "",
            containers=tuple(
                Container.parse(one, is_init=is_init and one["name"] not in sidecars)
                for key, is_init in (("initContainerStatuses", True), ("containerStatuses", False))
                for one in _parts(status, key)
            ),
            events=_events(str(pod["metadata"]["uid"]), events),
        )

    def event(self, *reasons: str) -> Event | None:
        """The latest event that is one of these."""
        return next((event for event in self.events if event.reason in reasons), None)


@dataclass(frozen=True)
class RolloutState:
    """A Deployment and its pods at one moment.

    failure: why no pods can be made, if so; is_first: there was no earlier pod template;
    old_serving, stopping: pods of earlier templates that serve, and pods that finish their last
    requests.
    """

    now: datetime
    is_current: bool
    """Whether the Deployment's controller has seen the latest change."""
    desired: int
    updated: int
    total: int
    available: int
    failure: str
    new_pods: tuple[Pod, ...]
    is_first: bool
    old_serving: int
    stopping: int

    @property
    def is_complete(self) -> bool:
        """As `kubectl rollout status` judges: all pods are new, and all are available."""
        return (
            self.is_current
            and self.updated >= self.desired
            and self.total <= self.updated
            and self.available >= self.updated
        )


def rollout_state(
    deployment: Json,
    replica_sets: Sequence[Json],
    pods: Sequence[Json],
    events: Sequence[Json],
    now: datetime,
) -> RolloutState:
    """The state of a Deployment's rollout, from the API's objects."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    status = _part(deployment, "status")
    owned = [one for one in replica_sets if metadata["uid"] in _owners(one)]
    revision = _annotation(deployment)
    current = {one["metadata"]["uid"] for one in owned if _annotation(one) == revision}
    others = {one["metadata"]["uid"] for one in owned} - current
    live = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    new = [pod for pod in live if not _has_ended(pod) and _owners(pod) & current]
    old = [Pod.parse(pod, ()) for pod in live if _owners(pod) & others]
    is_current = status.get("observedGeneration", 0) >= metadata["generation"]
    return RolloutState(
        now=now,
        is_current=is_current,
        desired=int(spec.get("replicas", 1)),
        updated=int(status.get("updatedReplicas", 0)),
        total=int(status.get("replicas", 0)),
        available=int(status.get("availableReplicas", 0)),
        failure=_failure(status),
        # Until the controller has seen a change, the newest pods are those before it.
        new_pods=tuple(Pod.parse(pod, events) for pod in new) if is_current else (),
        is_first=not others,
        old_serving=sum(pod.ready for pod in old),
        stopping=len(pods) - len(live),
    )


def _part(item: Json, *path: str) -> Json:
    """An object inside an object; empty if there is none."""
    for key in path:
        item = item.get(key) or {}
    return item


def _parts(item: Json, key: str) -> Sequence[Json]:
    return item.get(key) or []


def _annotation(item: Json) -> str:
    return str(_part(item, "metadata", "annotations").get(REVISION, ""))


def _owners(item: Json) -> set[str]:
    return {str(owner["uid"]) for owner in _parts(item["metadata"], "ownerReferences")}


def _has_ended(pod: Json) -> bool:
    """Whether its node was taken away or it was evicted: another pod is made in its place."""
    return _part(pod, "status").get("phase") in ("Failed", "Succeeded")


def _failure(status: Json) -> str:
    for condition in _parts(status, "conditions"):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            # Each attempt is for a pod of another name.
            return _POD_NAME.sub("", _one_line(condition.get("message"))) or "no reason is given"
    return ""


def _events(uid: str, events: Sequence[Json]) -> tuple[Event, ...]:
    own = [
        Event(str(event.get("reason", "")), _one_line(event.get("message")), _time(event))
        for event in events
        if _part(event, "involvedObject").get("uid") == uid
    ]
    # The API lists those of one second in their order, so the latest are last.
    return tuple(sorted(own, key=lambda event: event.at)[::-1])


def _time(event: Json) -> datetime:
    """When it was last said: the two generations of events have different places for that."""
    text = (
        _part(event, "series").get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )
    return datetime.fromisoformat(text)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _one_line(text: object) -> str:
    return " ".join(str(text or "").split())
