"""What a pod's log means: the last lines, and the cause that they tell."""

from __future__ import annotations

import re
from dataclasses import dataclass

from client.doctor.finding import Finding, State
from client.doctor.pods import (
    SERVER,
    WAIT_FOR_MODEL,
    WEB,
    blocking_init_container,
    container_status,
    has_model_server,
    has_run,
    is_ready_or_absent,
    last_end,
)
from client.doctor.rollout import Pod
from client.stacks.tools import at, text_at
from prediction.errors import printable

LOG_LINES = 8

_WAIT_LINE = re.compile(r"(?:gave up after \d+ s|\d+ s): (?P<reason>.+)")
_READY = "ready to read"
_LOG_CAUSES = (
    (
        re.compile(r"HTTP response code 40[13]|storage\.objects\.\w+ access|PERMISSION_DENIED"),
        "the pod cannot read the bucket: grant access with `{make_up}`; the server then starts "
        "again by itself",
    ),
    (
        re.compile(r"libcurl code 6|Couldn't resolve host|Could not resolve host"),
        "DNS lookups fail in the pod: check that the NetworkPolicy allows the cluster's DNS",
    ),
    (
        re.compile(r"Could not find base path|No versions of servable|server found no model"),
        "the model's folder is missing or unreadable: see the checks `bucket` and `files`",
    ),
    (
        re.compile(r"bad_alloc|[Oo]ut of memory|\bOOM\b|RESOURCE_EXHAUSTED: OOM"),
        "the server ran out of memory: raise memoryRequestGib or choose a larger machineType",
    ),
    (
        re.compile(r"Op type not registered|NodeDef mentions attr"),
        "the model is of another TensorFlow than the image: export it again with `{make_up}`",
    ),
    (
        re.compile(r"Failed to start server"),
        "the model failed to load; the lines below show why",
    ),
)
"""What the server logs when it cannot load a model: the cause, and what to do."""


@dataclass(frozen=True)
class LogSource:
    """A container whose log tells most, and whether of its previous run."""

    container: str
    previous: bool


def log_source(pod: Pod) -> LogSource | None:
    """None if nothing in the pod has run yet."""
    server, web = container_status(pod, SERVER), container_status(pod, WEB)
    is_web = not is_ready_or_absent(web) and (last_end(web) or at(server, "ready") is True)
    is_web = is_web or not has_model_server(pod)
    status = blocking_init_container(pod) or (web if is_web else server)
    if status is None or not has_run(status):
        return None
    # While it waits to be restarted, or runs again, the previous run is the one that crashed.
    crashed = at(status, "lastState", "terminated") is not None and at(status, "ready") is not True
    crashed = crashed and at(status, "state", "terminated") is None
    return LogSource(text_at(status, "name"), crashed)


def log_finding(pod: Pod, source: LogSource, text: str, make_up: str) -> Finding:
    """text: the log's end. make_up: the command that deploys the stack."""
    lines = tuple(printable(line) for line in text.splitlines()[-LOG_LINES:])
    status = container_status(pod, source.container)
    if source.container == WAIT_FOR_MODEL:
        return _wait_finding(pod, status, lines)
    if source.container == SERVER and at(status, "ready") is not True:
        for pattern, cause in _LOG_CAUSES:
            if pattern.search(text):
                advice = cause.format(make_up=make_up)
                return Finding("log", State.WRONG, f"{pod.title}: {advice}", lines)
    of_it = "" if source.container == SERVER else f"'s {source.container}"
    when = " before its last crash" if source.previous else ""
    return Finding("log", State.OK, f"the last lines of {pod.title}{of_it}{when}", lines)


def _wait_finding(pod: Pod, status: object, lines: tuple[str, ...]) -> Finding:
    """Its log names what is missing, and what to do."""
    found = [match["reason"] for line in lines if (match := _WAIT_LINE.match(line))]
    if not found or found[-1].startswith(_READY):
        return Finding("log", State.OK, f"the last lines of {pod.title}'s {WAIT_FOR_MODEL}", lines)
    gave_up = last_end(status) is not None
    verb = "gave up waiting for the model" if gave_up else "waits for the model"
    state = State.WRONG if gave_up else State.WAIT
    return Finding("log", state, f"{pod.title} {verb}: {found[-1]}", lines)
