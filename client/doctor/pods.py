"""How a pod of the model server fares: scheduled, its model waited for, the model loaded."""

from __future__ import annotations

from collections.abc import Sequence

from client.doctor.finding import Finding, State
from client.doctor.rollout import Pod
from client.stacks.discovery import NAMESPACE
from client.stacks.tools import at, list_at, number_at, text_at

SERVER = "model-server"
WAIT_FOR_MODEL = "wait-for-model"
"""The init container that lets the server start once it can read its model."""

_STARTING = {"ContainerCreating", "PodInitializing"}
_IMAGE_ERRORS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName"}
_SCALING = {"TriggeredScaleUp", "NotTriggerScaleUp"}
_EVENTS = 3


def pod_finding(pod: Pod) -> Finding:
    """The first thing that keeps the pod from serving."""
    document, title = pod.document, pod.title
    if text_at(document, "metadata", "deletionTimestamp"):
        return Finding("pods", State.OK, f"{title} is stopping: it finishes its requests first")
    if text_at(document, "status", "phase") in ("Failed", "Succeeded"):
        why = text_at(document, "status", "reason") or "without a reason"
        message = f"{title} has ended ({why}), as on a spot node that is gone: another replaces it"
        return Finding("pods", State.OK, message)
    conditions = list_at(document, "status", "conditions")
    unschedulable = [c for c in conditions if at(c, "reason") == "Unschedulable"]
    if unschedulable:
        return Finding(
            "pods",
            State.WRONG,
            f"{title} fits on no node ({text_at(unschedulable[0], 'message')}): wait a few minutes "
            "for a new node; if none comes, lower cpuRequest or memoryRequestGib, choose a larger "
            "machineType, or raise maxNodes, and see the check `quota`",
        )
    blocking = blocking_init_container(pod)
    if blocking is not None:
        return _init_finding(pod, blocking)
    server = container_status(pod, SERVER)
    if at(server, "ready") is True:
        restarts = number_at(server, "restartCount") or 0
        again = f" after {restarts:.0f} restarts" if restarts else ""
        return Finding("pods", State.OK, f"{title} has loaded the model{again}")
    problem = _problem(pod, server)
    return problem or Finding(
        "pods", State.WAIT, f"{title} is starting: run doctor again in a minute"
    )


def container_status(pod: Pod, name: str) -> object:
    """The status of a container or init container; None if Kubernetes has none yet."""
    for key in ("initContainerStatuses", "containerStatuses"):
        for status in list_at(pod.document, "status", key):
            if at(status, "name") == name:
                return status
    return None


def blocking_init_container(pod: Pod) -> object:
    """The status of the init container that has not let the pod go on; None if all have."""
    for status in list_at(pod.document, "status", "initContainerStatuses"):
        ended = at(status, "state", "terminated")
        is_done = number_at(ended, "exitCode") == 0
        # A sidecar is an init container, too, and goes on running.
        is_sidecar = at(status, "name") != WAIT_FOR_MODEL and at(status, "started") is True
        if not is_done and not is_sidecar:
            return status
    return None


def last_end(status: object) -> object:
    """How a container ended last; None if it never has."""
    return at(status, "state", "terminated") or at(status, "lastState", "terminated")


def has_run(status: object) -> bool:
    """Whether a container has a log."""
    return at(status, "state", "running") is not None or last_end(status) is not None


def event_lines(events: Sequence[object]) -> tuple[str, ...]:
    """The latest events that tell why a pod does not start."""
    telling = [
        event for event in events if at(event, "type") == "Warning" or _reason(event) in _SCALING
    ]
    telling.sort(key=lambda event: text_at(event, "lastTimestamp") or text_at(event, "eventTime"))
    lines = dict.fromkeys(f"{_reason(one)}: {text_at(one, 'message')}" for one in telling)
    return tuple(lines)[-_EVENTS:]


def _reason(event: object) -> str:
    return text_at(event, "reason")


def _init_finding(pod: Pod, status: object) -> Finding:
    name = text_at(status, "name")
    problem = _problem(pod, status, f"'s init container {name}")
    if problem is not None:
        return problem
    doing = "waits for the model's files" if name == WAIT_FOR_MODEL else f"runs {name}"
    return Finding("pods", State.WAIT, f"{pod.title} {doing}: see the check `log`")


def _problem(pod: Pod, status: object, of_it: str = "") -> Finding | None:
    """What is wrong with a container by its status; None if it is on its way."""
    title = f"{pod.title}{of_it}"
    waiting, ended = at(status, "state", "waiting"), last_end(status)
    reason, detail = text_at(waiting, "reason"), text_at(waiting, "message")
    if text_at(ended, "reason") == "OOMKilled":
        message = (
            f"{title} ran out of memory: raise memoryRequestGib or choose a larger machineType"
        )
    elif reason in _IMAGE_ERRORS:
        message = (
            f"{title} cannot pull its image ({detail or reason}): check imageDigest, and that the "
            "nodes reach the registry through NAT"
        )
    elif ended is not None:
        code = number_at(ended, "exitCode") or 0
        message = f"{title} ended with exit code {code:.0f} and is restarting: see the check `log`"
    elif reason and reason not in _STARTING:
        message = (
            f"{title} does not start ({reason}{': ' if detail else ''}{detail}): "
            f"`kubectl describe pod -n {NAMESPACE} {pod.name}` shows the events"
        )
    else:
        return None
    return Finding("pods", State.WRONG, message)
