"""How a pod fares: scheduled, its model waited for, the model loaded, the web service ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from client.doctor.finding import Finding, State
from client.doctor.rollout import Pod
from client.stacks.discovery import NAMESPACE
from client.stacks.tools import at, list_at, number_at, text_at

SERVER = "model-server"
WEB = "web"
WAIT_FOR_MODEL = "wait-for-model"
"""The init container that lets the server start once it can read its model."""


@dataclass(frozen=True)
class _Advice:
    """What to do about a container without enough memory, or without its image."""

    memory: str
    image: str


_ADVICE = _Advice(
    memory="raise memoryRequestGib or choose a larger machineType",
    image="check imageDigest, and that the nodes reach the registry through NAT",
)
_WEB_ADVICE = _Advice(
    memory="send fewer requests at once, or lower queue",
    image="check webImage; if that is empty, `make up` makes the image, and lets the nodes read it",
)
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
    server, web = container_status(pod, SERVER), container_status(pod, WEB)
    draws = has_model_server(pod)
    first, done = (server, "has loaded the model") if draws else (web, "serves")
    is_loaded = at(first, "ready") is True
    if is_loaded and is_ready_or_absent(web):
        restarts = number_at(first, "restartCount") or 0
        again = f" after {restarts:.0f} restarts" if restarts else ""
        return Finding("pods", State.OK, f"{title} {done}{again}")
    problem = None if is_loaded else _problem(pod, first)
    problem = problem or (None if is_ready_or_absent(web) else _problem(pod, web, "'s web service"))
    doing = "has loaded the model, its web service is not ready" if is_loaded else "is starting"
    return problem or Finding("pods", State.WAIT, f"{title} {doing}: run doctor again in a minute")


def container_status(pod: Pod, name: str) -> object:
    """The status of a container or init container; None if Kubernetes has none yet."""
    for key in ("initContainerStatuses", "containerStatuses"):
        for status in list_at(pod.document, "status", key):
            if at(status, "name") == name:
                return status
    return None


def has_model_server(pod: Pod) -> bool:
    """All have but a front, which leaves the drawing to workers."""
    containers = list_at(pod.document, "spec", "containers")
    return any(at(container, "name") == SERVER for container in containers)


def is_ready_or_absent(web: object) -> bool:
    """By the status of the web service's container, which pods of an earlier version lack."""
    return web is None or at(web, "ready") is True


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
    advice = _WEB_ADVICE if text_at(status, "name") == WEB else _ADVICE
    if text_at(ended, "reason") == "OOMKilled":
        message = f"{title} ran out of memory: {advice.memory}"
    elif reason in _IMAGE_ERRORS:
        message = f"{title} cannot pull its image ({detail or reason}): {advice.image}"
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
