"""The checks of a stack on GKE, by `kubectl` and `gcloud` with the caller's own rights."""

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
    own_kubeconfig,
)
from client.stacks.discovery import StackOutputs
from client.stacks.tools import (
    INSTALL,
    ToolError,
    ask,
    ask_json,
    at,
    list_at,
    missing_tools,
    number_at,
    text_at,
)

SERVICE_ACCOUNT = "model-server"
CONTAINER = "model-server"
READER_ROLE = "roles/storage.objectViewer"
LOG_LINES = 8

_LOGIN = "`gcloud auth login`, or ask for the roles that docs/gke.md lists"
_NOT_FOUND = re.compile(r"\b404\b|NOT_FOUND|not found")
_LOG_CAUSES = (
    (
        re.compile(r"HTTP response code 40[13]|storage\.objects\.\w+ access|PERMISSION_DENIED"),
        "the pod may not read the bucket: `make up` grants the right, and as the server keeps a "
        "failed login for good, the pod has to go: `kubectl delete pod -n {namespace} {pod}`",
    ),
    (
        re.compile(r"libcurl code 6|Couldn't resolve host|Could not resolve host"),
        "the pod finds no names: see whether the NetworkPolicy lets it reach the cluster's DNS",
    ),
    (
        re.compile(r"Could not find base path|No versions of servable"),
        "the model's folder is not in the bucket, or cannot be read: see the check `bucket`",
    ),
    (
        re.compile(r"bad_alloc|[Oo]ut of memory|\bOOM\b|RESOURCE_EXHAUSTED: OOM"),
        "the model needs more memory: raise memoryRequestGib or take a larger machineType",
    ),
    (
        re.compile(r"Failed to start server"),
        "the model did not load, and the lines below say why",
    ),
)
"""What the server says when it cannot load a model, and what to do about it."""
_SLOW = {"ContainerCreating", "PodInitializing"}
_IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName"}


def cluster_findings(stack: StackOutputs, make_up: str) -> Iterator[Finding]:
    """One finding after another, in the order in which a start goes wrong.

    make_up: the command that deploys this stack. The caller's kubeconfig is left as it is: the
    cluster's goes into a file of its own.
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
        message = f"the stack does not say which cluster it is: `{make_up}`"
        yield Finding("cluster", State.WRONG, message)
        return
    with own_kubeconfig() as environment:
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
                return Finding("bucket", State.OK, f"pods may read {bucket}")
        message = f"pods may not read {bucket} (no {READER_ROLE} for {NAMESPACE}/{SERVICE_ACCOUNT})"
        return Finding("bucket", State.WRONG, f"{message}: `{self.make_up}` grants it")

    def _model_files(self) -> Finding:
        """Whether the model is in the bucket. Its `saved_model.pb` is uploaded after the rest."""
        url = f"{self.stack.model_uri}/1/saved_model.pb"
        try:
            self._gcloud("storage", "objects", "describe", url)
        except ToolError as error:
            if _NOT_FOUND.search(str(error)):
                message = f"{url} is not there: `{self.make_up}` exports the model"
                return Finding("files", State.WRONG, message)
            return Finding("files", State.UNKNOWN, f"{error}: {_LOGIN}")
        return Finding("files", State.OK, f"the model is in {self.stack.model_uri}")

    def _reach(self) -> Finding:
        """Whether the caller gets through to the cluster's Kubernetes API."""
        try:
            get_credentials(self.cluster, self.environment)
            self._kubectl("get", "namespace", NAMESPACE)
        except ToolError as error:
            return Finding("cluster", State.WRONG, f"{error}: {_LOGIN}, or `{self.make_up}`")
        return Finding("cluster", State.OK, f"{self.cluster.name} in {self.cluster.location}")

    def _pods(self) -> Iterator[Finding]:
        try:
            pods = list_at(self._kubectl("get", "pods", "-l", POD_LABEL), "items")
        except ToolError as error:
            yield Finding("pods", State.UNKNOWN, f"{error}: {_LOGIN}")
            return
        if not pods:
            message = f"there are no pods: `{self.make_up}`, and see `kubectl get events -n"
            yield Finding("pods", State.WRONG, f"{message} {NAMESPACE}`")
        for pod in pods:
            found = pod_finding(pod)
            yield found
            if at(pod, "spec", "nodeName") is not None:
                yield self._log(pod, found.state is State.OK)

    def _log(self, pod: object, serves: bool) -> Finding:
        """The end of the server's log, of the run before where that one ended."""
        name = text_at(pod, "metadata", "name")
        crashed = not serves and _server(pod, "lastState", "terminated") is not None
        command = ["kubectl", "logs", "-n", NAMESPACE, name, "-c", CONTAINER]
        command += [f"--tail={LOG_LINES}", *(["--previous"] if crashed else [])]
        try:
            text = ask(command, self.environment)
        except ToolError as error:
            return Finding("log", State.UNKNOWN, f"{name}: {error}")
        lines = tuple(printable(line) for line in text.splitlines()[-LOG_LINES:])
        if serves:
            return Finding("log", State.OK, f"the last lines of {name}", lines)
        for pattern, cause in _LOG_CAUSES:
            if pattern.search(text):
                said = cause.format(namespace=NAMESPACE, pod=name)
                return Finding("log", State.WRONG, f"{name}: {said}", lines)
        before = "before it ended last" if crashed else "so far"
        return Finding("log", State.OK, f"what {name} said {before}", lines)

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
        """How many nodes there are; none where Kubernetes cannot be asked."""
        try:
            return len(list_at(self._kubectl("get", "nodes"), "items"))
        except ToolError:
            return 0

    def _gcloud(self, *arguments: str) -> object:
        project = ["--project", self.cluster.project, "--format=json", "--quiet"]
        return ask_json(["gcloud", *arguments, *project], self.environment)

    def _kubectl(self, *arguments: str) -> object:
        namespace = ["-n", NAMESPACE, "--request-timeout=30s", "-o", "json"]
        return ask_json(["kubectl", *arguments, *namespace], self.environment)


def pod_finding(pod: object) -> Finding:
    """Whether a pod got a node, and whether its server has loaded the model."""
    name = text_at(pod, "metadata", "name")
    conditions = list_at(pod, "status", "conditions")
    unplaced = [c for c in conditions if at(c, "reason") == "Unschedulable"]
    if unplaced:
        return Finding(
            "pods",
            State.WRONG,
            f"{name} fits on no node ({text_at(unplaced[0], 'message')}): wait some minutes for "
            "another node; then lower cpuRequest or memoryRequestGib, take a larger machineType, "
            "or raise maxNodes, and see the check `quota`",
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
            f"{name} took more than its memory: raise memoryRequestGib or take a larger "
            "machineType",
        )
    if reason in _IMAGE:
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
            f"{name} ended with exit code {code:.0f} and starts again: the check `log` says why",
        )
    if reason and reason not in _SLOW:
        said = text_at(waiting, "message")
        return Finding(
            "pods",
            State.WRONG,
            f"{name} does not start ({reason}{': ' if said else ''}{said}): "
            f"`kubectl describe pod -n {NAMESPACE} {name}` shows the events",
        )
    return Finding("pods", State.WAIT, f"{name} is starting: ask again in a minute")


def _server(pod: object, *path: str) -> object:
    """What the status of the server's container says there."""
    for status in list_at(pod, "status", "containerStatuses"):
        if at(status, "name") == CONTAINER:
            return at(status, *path)
    return None
