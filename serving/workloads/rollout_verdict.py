"""Whether a rollout is done, goes on, or cannot succeed: a pure function of what is seen.

Troubles that often pass by themselves count only once they have lasted for their patience. How
long they have lasted is known by the caller, who remembers when it saw each one first: Kubernetes
does not tell for most of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from serving.workloads.rollout_state import Container, Pod, RolloutState

_MOST_ENDS = 3
"""Of a container: Kubernetes restarts it with growing delays, the third after a minute."""
_MOST_INIT_ENDS = 2
"""Of an init container, which waits with patience of its own before it ends."""
_IMAGE = timedelta(minutes=3)
_CONFIGURATION = timedelta(minutes=1)
_ADMISSION = timedelta(minutes=1)
_MOUNT = timedelta(minutes=10)
"""A permission on a bucket takes minutes to reach everywhere."""
_NODE = timedelta(minutes=15)
"""The cluster autoscaler asks for a node, which boots, joins, and has its daemons started."""
_NO_NODE = timedelta(minutes=5)
"""Where the cluster autoscaler says that it will not add one."""
_AT_ONCE = timedelta()
_MOST_MESSAGE = 200
_KILLED = 137

_BROKEN_IMAGES = ("InvalidImageName", "ErrImageNeverPull")
_FAILED_PULLS = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError")
_FAILED_CONFIGURATIONS = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
)
_FAILED_MOUNTS = ("FailedMount", "FailedAttachVolume")
_AFTER_MOUNT = ("Pulling", "Pulled", "Created", "Started")
_SCALES_UP, _DOES_NOT_SCALE = "TriggeredScaleUp", "NotTriggerScaleUp"

TroubleKey = tuple[str, str]


@dataclass(frozen=True)
class Trouble:
    """What is in the way of a pod, or of all pods (`pod` is empty).

    excused_since: the patience begins again at this time; at: when it happened, for what happens
    and does not last.
    """

    pod: str
    kind: str
    text: str
    patience: timedelta
    excused_since: datetime | None = None
    at: datetime | None = None

    @property
    def key(self) -> TroubleKey:
        return self.pod, self.kind


@dataclass(frozen=True)
class Verdict:
    """done: all pods serve; failure: why they cannot, else empty; progress: for the user."""

    done: bool
    failure: str
    progress: str


def verdict(
    state: RolloutState, first_seen: Mapping[TroubleKey, datetime], began: datetime
) -> Verdict:
    """Judge a rollout by what is seen and since when (see `remember`), in a wait that began then.

    What a pod suffered before does not count: its cause may be mended.
    """
    if state.is_complete:
        return Verdict(done=True, failure="", progress=_count(state))
    found = list(troubles(state))
    lasting = [
        one
        for one in found
        if _has_lasted(one, state.now, first_seen) and (one.at is None or one.at >= began)
    ]
    # A pod's own trouble says more than what keeps all pods from being made.
    lasting.sort(key=lambda one: one.pod == "")
    return Verdict(
        done=False,
        failure=lasting[0].text if lasting else "",
        progress=f"{_count(state)}{_activity(state, found)}",
    )


def remember(
    state: RolloutState, first_seen: Mapping[TroubleKey, datetime]
) -> dict[TroubleKey, datetime]:
    """When each trouble of this moment was first seen; a trouble that is gone is forgotten."""
    return {one.key: first_seen.get(one.key, state.now) for one in troubles(state)}


def troubles(state: RolloutState) -> Iterator[Trouble]:
    """Everything that is in the way."""
    if not state.is_current:
        return
    for pod in state.new_pods:
        if not pod.ready:
            yield from _pod_troubles(pod, state)
    if state.failure:
        yield Trouble("", "admission", f"no pod can be made: {_short(state.failure)}", _ADMISSION)


def _pod_troubles(pod: Pod, state: RolloutState) -> Iterator[Trouble]:
    # A node whose pod finishes its last requests has room once that has stopped.
    if pod.unschedulable and not state.stopping:
        yield _no_node(pod)
    mount = pod.event(*_FAILED_MOUNTS, *_AFTER_MOUNT)
    if mount is not None and mount.reason in _FAILED_MOUNTS:
        text = f"{pod.name}: a volume cannot be mounted: {_short(mount.message)}"
        yield Trouble(pod.name, "mount", text, _MOUNT)
    for container in pod.containers:
        yield from _container_troubles(pod, container)


def _no_node(pod: Pod) -> Trouble:
    said = pod.event(_SCALES_UP, _DOES_NOT_SCALE)
    # The scheduler's second sentence is on preemption.
    text = f"{pod.name}: no node has room: {_short(pod.unschedulable.partition('. ')[0])}"
    if said is not None and said.reason == _DOES_NOT_SCALE:
        text += f" (cluster autoscaler: {_short(said.message)})"
        return Trouble(pod.name, "node", text, _NO_NODE)
    return Trouble(pod.name, "node", text, _NODE, excused_since=said.at if said else None)


def _container_troubles(pod: Pod, container: Container) -> Iterator[Trouble]:
    def trouble(kind: str, text: str, patience: timedelta, at: datetime | None = None) -> Trouble:
        text = f"{pod.name}: {text}"
        return Trouble(pod.name, f"{kind} {container.name}", text, patience, at=at)

    name, reason = _named(container), container.reason
    if reason in _BROKEN_IMAGES:
        text = f"the image of {name} cannot be used ({reason}): {_short(container.message)}"
        yield trouble("image", text, _AT_ONCE)
    elif reason in _FAILED_PULLS:
        text = f"the image of {name} cannot be pulled ({reason}): {_pull_failure(pod, container)}"
        yield trouble("image", text, _IMAGE)
    elif reason in _FAILED_CONFIGURATIONS:
        text = f"{name} cannot be started ({reason}): {_short(container.message)}"
        yield trouble("configuration", text, _CONFIGURATION)
    elif not container.running and not container.ready and _ends_too_often(container):
        why = f" ({reason})" if reason else ""
        text = f"{name} ended {container.ends} times{why}, the last time with {_exit(container)}"
        yield trouble("ends", text, _AT_ONCE, container.ended_at)


def _ends_too_often(container: Container) -> bool:
    most = _MOST_INIT_ENDS if container.is_init else _MOST_ENDS
    return container.ends >= most


def _has_lasted(trouble: Trouble, now: datetime, first_seen: Mapping[TroubleKey, datetime]) -> bool:
    since = first_seen.get(trouble.key, now)
    if trouble.excused_since is not None:
        since = max(since, trouble.excused_since)
    return now - since >= trouble.patience


def _count(state: RolloutState) -> str:
    ready = sum(pod.ready for pod in state.new_pods)
    if state.desired == 0:
        return "no pods are wanted"
    pods = "pod" if state.desired == 1 else "pods"
    return f"{ready} of {state.desired} new {pods} ready"


def _activity(state: RolloutState, found: list[Trouble]) -> str:
    """What the first pod that is not ready does, or suffers from."""
    waiting = [pod for pod in state.new_pods if not pod.ready]
    if found and found[0].excused_since is None:
        return f"; {found[0].text}"
    if waiting:
        return f"; {waiting[0].name}: {_doing(waiting[0], state)}"
    if state.stopping:
        return "; old pods finish their requests"
    return "; old pods are being replaced" if state.old_serving else ""


def _doing(pod: Pod, state: RolloutState) -> str:
    if not pod.has_node:
        scaling = pod.event(_SCALES_UP, _DOES_NOT_SCALE)
        if scaling is not None and scaling.reason == _SCALES_UP:
            return "waits for a node that is being added"
        return "waits for room that an old pod still uses" if state.stopping else "waits for a node"
    for container in pod.containers:
        if container.is_init and container.running:
            return f"runs {_named(container)}"
        if container.running and not container.ready:
            return f"{container.name} starts"
        if container.exit_code is not None and not container.ready:
            times = "once" if container.ends == 1 else f"{container.ends} times"
            return f"{_named(container)} ended {times}, with {_exit(container)}"
    pulling = pod.event("Pulling", "Pulled")
    return "pulls its image" if pulling is not None and pulling.reason == "Pulling" else "is set up"


def _named(container: Container) -> str:
    return f"{'init container' if container.is_init else 'container'} {container.name}"


def _exit(container: Container) -> str:
    code = container.exit_code
    if container.exit_reason == "OOMKilled":
        return f"exit code {code} (out of memory)"
    return f"exit code {code}" + (" (killed)" if code == _KILLED else "")


def _pull_failure(pod: Pod, container: Container) -> str:
    """The registry's answer, which Kubernetes' waiting message often leaves out."""
    said = (event.message for event in pod.events if event.message.startswith("Failed to pull"))
    return _short(next(said, container.message))


def _short(text: str) -> str:
    return text if len(text) <= _MOST_MESSAGE else f"{text[:_MOST_MESSAGE].rstrip()}…"
