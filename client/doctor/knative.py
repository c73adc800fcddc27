"""What Knative says of itself and of the workers that it runs, by its own conditions.

`Ready` has the reason and the message of whatever keeps it from being true; that of a Service says
how its Configuration and its Route fare.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from client.doctor.finding import Finding, State
from client.stacks.discovery import NAMESPACE
from client.stacks.tools import at, list_at, number_at, text_at

SYSTEM_NAMESPACE = "knative-serving"
INSTALLATION = ("knativeservings.operator.knative.dev", SYSTEM_NAMESPACE)
"""Kind and name of what the operator installs Knative by, in SYSTEM_NAMESPACE."""
KINDS = "services.serving.knative.dev,revisions.serving.knative.dev"
"""What `kubectl get` must list for `worker_findings`."""
WORKERS = "diffusion"
"""The Service of the workers."""

_OPERATOR_PODS = "`kubectl get pods -n knative-operator`"
_SYSTEM_PODS = f"`kubectl get pods -n {SYSTEM_NAMESPACE}`"

_IMAGE = "check imageDigest and webImage, and that the nodes reach the registry through NAT"
_NODE = "see the check `quota`; raise maxNodes, or lower cpuRequest or memoryRequestGib"
_POD = "see the checks `pods` and `log`"
_REVISION_ADVICE = {
    "ContainerMissing": _IMAGE,
    "ErrImagePull": _IMAGE,
    "ImagePullBackOff": _IMAGE,
    "InvalidImageName": _IMAGE,
    "Unschedulable": _NODE,
    "FailedCreate": "Kubernetes does not let its pods start; see the check `quota`",
    "ProgressDeadlineExceeded": f"no worker was ready in time; {_POD}, and `quota`",
}
"""What to do, by the reason why a revision failed."""
_ROUTE = f"{_SYSTEM_PODS} shows whether Kourier and its controller run"
_SERVICE_ADVICE = {
    "RevisionFailed": "see its revision; without one, mend what it says, then deploy again",
    "RevisionMissing": "see its revision; if stableRevision names none that is there, change it",
    "RevisionNameTaken": "change a setting, so that the next one has another name",
    "NotOwned": "delete that, and Knative makes its own",
    "IngressNotConfigured": _ROUTE,
    "Uninitialized": _ROUTE,
}
"""What to do, by the reason why the Service is not ready."""
_MORE = f"`kubectl describe services.serving.knative.dev -n {NAMESPACE} {WORKERS}` says more"


@dataclass(frozen=True)
class _Condition:
    """One of an object's. status: True, False or Unknown; why: its reason and its message."""

    status: str
    reason: str
    message: str

    @property
    def why(self) -> str:
        said = ": ".join(filter(None, (self.reason, self.message)))
        return f" ({said})" if said else ""


def installation_finding(installation: object, make_up: str) -> Finding:
    """Whether the operator has installed Knative. make_up: the command that deploys the stack."""
    ready = _condition(installation, "Ready")
    if ready.status == "True":
        version = text_at(installation, "status", "version")
        return _finding(State.OK, f"Knative {version} is installed")
    if not list_at(installation, "status", "conditions"):
        message = "its operator has not begun to install Knative"
        return _finding(State.WAIT, f"{message}: {_OPERATOR_PODS} shows whether it runs")
    if ready.reason == "NotReady":
        remedy = f"{_SYSTEM_PODS} shows what keeps them, such as no room on the system pool's node"
        return _finding(State.WAIT, f"Knative is starting{ready.why}: {remedy}")
    if ready.status != "False" or ready.reason == "Installing":
        message = f"Knative is being installed{ready.why}: run doctor again in a minute"
        return _finding(State.WAIT, message)
    remedy = f"mend what it says, and `{make_up}` waits for the operator's next try"
    return _finding(State.WRONG, f"Knative cannot be installed{ready.why}: {remedy}")


def worker_findings(items: Sequence[object], make_up: str) -> Iterator[Finding]:
    """A finding for each revision that is the newest or gets requests, then the Service's.

    items: what `kubectl get` lists of KINDS.
    """
    services = [one for one in items if at(one, "kind") == "Service" and _name(one) == WORKERS]
    if not services:
        message = f"Knative has no Service {WORKERS}, so that there are no workers"
        yield _finding(State.WRONG, f"{message}: `{make_up}` makes it")
        return
    (service,) = services
    newest = text_at(service, "status", "latestCreatedRevisionName")
    traffic = [text_at(one, "revisionName") for one in list_at(service, "status", "traffic")]
    revisions = {_name(one): one for one in items if at(one, "kind") == "Revision"}
    for name in dict.fromkeys([newest, *traffic]):
        if name in revisions:
            yield _revision_finding(revisions[name], make_up if name == newest else "")
    yield _service_finding(service)


def _revision_finding(revision: object, make_up: str) -> Finding:
    """make_up: empty for an earlier one, which nothing makes again."""
    name = f"revision {_name(revision)}"
    ready, active = _condition(revision, "Ready"), _condition(revision, "Active")
    if ready.status == "True":
        if active.reason == "TimedOut":
            message = f"{name} could not start a worker{active.why}: {_POD}, and `quota`"
            return _finding(State.WRONG, message)
        idle = ", and has no worker while nobody asks" if active.reason == "NoTraffic" else ""
        return _finding(State.OK, f"{name} is ready{idle}")
    if ready.status != "False":
        message = f"{name} is starting{ready.why}: a new node and the model take some minutes"
        return _finding(State.WAIT, message)
    message = f"{name} failed{ready.why}: {_REVISION_ADVICE.get(ready.reason, _POD)}"
    if make_up:
        # One whose time is over gets no more pods. Deleted, it is made again by the same name.
        delete = f"kubectl delete revisions.serving.knative.dev -n {NAMESPACE} {_name(revision)}"
        message += f"; then `{delete}`, and `{make_up}`"
    return _finding(State.WRONG, message)


def _service_finding(service: object) -> Finding:
    name = f"Service {WORKERS}"
    seen = number_at(service, "status", "observedGeneration")
    if seen != number_at(service, "metadata", "generation"):
        message = f"Knative has not looked at the latest change of {name} yet"
        return _finding(State.WAIT, f"{message}: {_SYSTEM_PODS} shows whether it runs")
    ready = _condition(service, "Ready")
    if ready.status == "True":
        return _finding(State.OK, f"{name} is ready")
    advice = _SERVICE_ADVICE.get(ready.reason, _MORE)
    state = State.WRONG if ready.status == "False" else State.WAIT
    return _finding(state, f"{name} is not ready{ready.why}: {advice}")


def _condition(document: object, name: str) -> _Condition:
    """The condition of that type; Unknown without a reason if Knative has said nothing of it."""
    for one in list_at(document, "status", "conditions"):
        if at(one, "type") == name:
            status = text_at(one, "status")
            return _Condition(status, text_at(one, "reason"), text_at(one, "message"))
    return _Condition("Unknown", "", "")


def _name(document: object) -> str:
    return text_at(document, "metadata", "name")


def _finding(state: State, message: str) -> Finding:
    return Finding("knative", state, message)
