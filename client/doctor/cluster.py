"""The checks of a stack on GKE, by `kubectl` and `gcloud` with the user's own credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from client.doctor.finding import Finding, State
from client.doctor.quota import quota_findings
from client.errors import printable
from client.stacks.cluster import (
    NAMESPACE,
    POD_LABEL,
    ClusterName,
    cluster_of,
    get_credentials,
    temporary_kubeconfig,
)
from client.stacks.discovery import StackOutputs
from client.stacks.tools import (
    INSTALL,
    ToolError,
    at,
    list_at,
    missing_tools,
    number_at,
    text_at,
    tool_json,
    tool_output,
)

SERVICE_ACCOUNT = "model-server"
CONTAINER = "model-server"
READER_ROLE = "roles/storage.objectViewer"
LOG_LINES = 8

_LOGIN = "run `gcloud auth login`, or ask for the roles listed in docs/gke.md"
_NOT_FOUND = re.compile(r"\b404\b|NOT_FOUND|not found")
_LOG_CAUSES = (
    (
        re.compile(r"HTTP response code 40[13]|storage\.objects\.\w+ access|PERMISSION_DENIED"),
        "the pod cannot read the bucket: grant access with `{make_up}`, then restart the pod, as "
        "the server never retries a failed login: `kubectl delete pod -n {namespace} {pod}`",
    ),
    (
        re.compile(r"libcurl code 6|Couldn't resolve host|Could not resolve host"),
        "DNS lookups fail in the pod: check that the NetworkPolicy allows the cluster's DNS",
    ),
    (
        re.compile(r"Could not find base path|No versions of servable"),
        "the model's folder is missing or unreadable: see the checks `bucket` and `files`",
    ),
    (
        re.compile(r"bad_alloc|[Oo]ut of memory|\bOOM\b|RESOURCE_EXHAUSTED: OOM"),
        "the server ran out of memory: raise memoryRequestGib or choose a larger machineType",
    ),
    (
        re.compile(r"Failed to start server"),
        "the model failed to load; the lines below show why",
    ),
)
"""What the server logs when it cannot load a model: the cause, and what to do."""
_STARTING = {"ContainerCreating", "PodInitializing"}
_IMAGE_ERRORS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName"}


def cluster_findings(stack: StackOutputs, make_up: str) -> Iterator[Finding]:
    """One finding after another, in the order in which a start can fail.

    make_up: the command that deploys this stack. The user's kubeconfig stays unchanged: the
    cluster's credentials go into a temporary one.
    """
    missing = missing_tools()
    for tool in missing:
        remedy = f"install it, {INSTALL[tool]}"
        yield Finding("tools", State.WRONG, f"{tool} is not on PATH: {remedy}")
    if missing:
        return
    yield Finding("tools", State.OK, f"{', '.join(INSTALL)} are on PATH")
    cluster = cluster_of(stack.kubeconfig_command)
    if cluster is None:
        message = f"the stack's output `kubeconfigCommand` names no cluster: run `{make_up}`"
        yield Finding("cluster", State.WRONG, message)
        return
    with temporary_kubeconfig() as environment:
        yield from _Examination(stack, cluster, environment, make_up).findings()


@dataclass(frozen=True)
class _Examination:
    stack: StackOutputs
    cluster: ClusterName
    environment: dict[str, str]
    make_up: str

    def findings(self) -> Iterator[Finding]:
        yield self._bucket()
        yield self._model_files()
        reached = self._reach()
        yield reached
        if reached.state is State.OK:
            yield from self._pods()
        yield from self._quotas()

    def _bucket(self) -> Finding:
        """Whether IAM lets the pods' service account read the bucket."""
        bucket = f"gs://{self.stack.bucket}"
        try:
            policy = self._gcloud("storage", "buckets", "get-iam-policy", bucket)
        except ToolError as error:
            return Finding("bucket", State.UNKNOWN, f"{error}: {_LOGIN}")
        pod = f"{self.cluster.project}.svc.id.goog/subject/ns/{NAMESPACE}/sa/{SERVICE_ACCOUNT}"
        for binding in list_at(policy, "bindings"):
            members = [m for m in list_at(binding, "members") if isinstance(m, str)]
            if at(binding, "role") == READER_ROLE and any(m.endswith(pod) for m in members):
                return Finding("bucket", State.OK, f"pods can read {bucket}")
        message = f"pods cannot read {bucket} ({NAMESPACE}/{SERVICE_ACCOUNT} lacks {READER_ROLE})"
        return Finding("bucket", State.WRONG, f"{message}: grant it with `{self.make_up}`")

    def _model_files(self) -> Finding:
        """Whether the model is in the bucket. Its `saved_model.pb` is uploaded last."""
        url = f"{self.stack.model_uri}/1/saved_model.pb"
        try:
            self._gcloud("storage", "objects", "describe", url)
        except ToolError as error:
            if _NOT_FOUND.search(str(error)):
                message = f"{url} does not exist: export the model with `{self.make_up}`"
                return Finding("files", State.WRONG, message)
            return Finding("files", State.UNKNOWN, f"{error}: {_LOGIN}")
        return Finding("files", State.OK, f"the model is in {self.stack.model_uri}")

    def _reach(self) -> Finding:
        """Whether the cluster's Kubernetes API can be reached."""
        try:
            get_credentials(self.cluster, self.environment)
            self._kubectl("get", "namespace", NAMESPACE)
        except ToolError as error:
            return Finding("cluster", State.WRONG, f"{error}: {_LOGIN}, or run `{self.make_up}`")
        # The examination has credentials of its own; a command that is typed needs them first.
        typed = f"before kubectl, type `{self.stack.kubeconfig_command}`"
        return Finding(
            "cluster", State.OK, f"{self.cluster.name} in {self.cluster.location}; {typed}"
        )

    def _pods(self) -> Iterator[Finding]:
        try:
            pods = list_at(self._kubectl("get", "pods", "-l", POD_LABEL), "items")
        except ToolError as error:
            yield Finding("pods", State.UNKNOWN, f"{error}: {_LOGIN}")
            return
        if not pods:
            message = f"there are no pods: run `{self.make_up}`, and see `kubectl get events -n"
            yield Finding("pods", State.WRONG, f"{message} {NAMESPACE}`")
        for pod in pods:
            found = pod_finding(pod)
            yield found
            if at(pod, "spec", "nodeName") is not None:
                yield self._log(pod, found.state is State.OK)

    def _log(self, pod: object, serves: bool) -> Finding:
        """The end of the server's log; after a crash, of the run that crashed."""
        name = text_at(pod, "metadata", "name")
        crashed = not serves and _server(pod, "lastState", "terminated") is not None
        command = ["kubectl", "logs", "-n", NAMESPACE, name, "-c", CONTAINER]
        command += [f"--tail={LOG_LINES}", *(["--previous"] if crashed else [])]
        try:
            text = tool_output(command, self.environment)
        except ToolError as error:
            return Finding("log", State.UNKNOWN, f"{name}: {error}")
        lines = tuple(printable(line) for line in text.splitlines()[-LOG_LINES:])
        if serves:
            return Finding("log", State.OK, f"the last lines of {name}", lines)
        for pattern, cause in _LOG_CAUSES:
            if pattern.search(text):
                advice = cause.format(namespace=NAMESPACE, pod=name, make_up=self.make_up)
                return Finding("log", State.WRONG, f"{name}: {advice}", lines)
        when = "before its last crash" if crashed else "so far"
        return Finding("log", State.OK, f"the last lines of {name} {when}", lines)

    def _quotas(self) -> Iterator[Finding]:
        try:
            pools = self._gcloud(
                *("container", "node-pools", "list", "--cluster", self.cluster.name),
                *("--location", self.cluster.location),
            )
            region = self._gcloud("compute", "regions", "describe", self.cluster.region)
            project = self._gcloud("compute", "project-info", "describe")
        except ToolError as error:
            yield Finding("quota", State.UNKNOWN, f"{error}: {_LOGIN}")
            return
        yield from quota_findings(list_at(pools), region, project, self._nodes())

    def _nodes(self) -> int:
        """The number of nodes; 0 if Kubernetes cannot be reached."""
        try:
            return len(list_at(self._kubectl("get", "nodes"), "items"))
        except ToolError:
            return 0

    def _gcloud(self, *arguments: str) -> object:
        project = ["--project", self.cluster.project, "--format=json", "--quiet"]
        return tool_json(["gcloud", *arguments, *project], self.environment)

    def _kubectl(self, *arguments: str) -> object:
        namespace = ["-n", NAMESPACE, "--request-timeout=30s", "-o", "json"]
        return tool_json(["kubectl", *arguments, *namespace], self.environment)


def pod_finding(pod: object) -> Finding:
    """Whether a pod has been scheduled, and its server has loaded the model."""
    name = text_at(pod, "metadata", "name")
    conditions = list_at(pod, "status", "conditions")
    unschedulable = [c for c in conditions if at(c, "reason") == "Unschedulable"]
    if unschedulable:
        return Finding(
            "pods",
            State.WRONG,
            f"{name} fits on no node ({text_at(unschedulable[0], 'message')}): wait a few minutes "
            "for a new node; if none comes, lower cpuRequest or memoryRequestGib, choose a larger "
            "machineType, or raise maxNodes, and see the check `quota`",
        )
    waiting = _server(pod, "state", "waiting")
    reason = text_at(waiting, "reason")
    ended = _server(pod, "state", "terminated") or _server(pod, "lastState", "terminated")
    if _server(pod, "ready") is True:
        restarts = number_at(_server(pod, "restartCount")) or 0
        again = f" after {restarts:.0f} restarts" if restarts else ""
        return Finding("pods", State.OK, f"{name} has loaded the model{again}")
    if text_at(ended, "reason") == "OOMKilled":
        return Finding(
            "pods",
            State.WRONG,
            f"{name} ran out of memory: raise memoryRequestGib or choose a larger machineType",
        )
    if reason in _IMAGE_ERRORS:
        return Finding(
            "pods",
            State.WRONG,
            f"{name} cannot pull its image ({text_at(waiting, 'message') or reason}): check "
            "imageDigest, and that the nodes reach the registry through NAT",
        )
    if ended is not None:
        code = number_at(ended, "exitCode") or 0
        return Finding(
            "pods",
            State.WRONG,
            f"{name} ended with exit code {code:.0f} and is restarting: see the check `log`",
        )
    if reason and reason not in _STARTING:
        detail = text_at(waiting, "message")
        return Finding(
            "pods",
            State.WRONG,
            f"{name} does not start ({reason}{': ' if detail else ''}{detail}): "
            f"`kubectl describe pod -n {NAMESPACE} {name}` shows the events",
        )
    return Finding("pods", State.WAIT, f"{name} is starting: run doctor again in a minute")


def _server(pod: object, *path: str) -> object:
    """The value at a path in the status of the server's container."""
    for status in list_at(pod, "status", "containerStatuses"):
        if at(status, "name") == CONTAINER:
            return at(status, *path)
    return None
