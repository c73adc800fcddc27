"""The checks of a stack on GKE, by `kubectl` and `gcloud` with the user's own credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from client.doctor.deployed import KEYS_SECRET, Deployed
from client.doctor.domain import certificate_finding
from client.doctor.finding import Finding, State
from client.doctor.keys import keys_finding
from client.doctor.knative import (
    INSTALLATION,
    SYSTEM_NAMESPACE,
    installation_finding,
    worker_findings,
)
from client.doctor.knative import KINDS as KNATIVE_KINDS
from client.doctor.logs import LOG_LINES, log_finding, log_source
from client.doctor.pods import event_lines, pod_finding
from client.doctor.quota import quota_findings
from client.doctor.rollout import KINDS, Pod, pods_of, rollout_findings
from client.stacks.cluster import PODS, ClusterName, get_credentials, temporary_kubeconfig
from client.stacks.discovery import NAMESPACE
from client.stacks.domain import dns_problem
from client.stacks.tools import (
    INSTALL,
    ToolError,
    at,
    list_at,
    missing_tools,
    tool_json,
    tool_output,
)

SERVICE_ACCOUNT = "model-server"
READER_ROLE = "roles/storage.objectViewer"

_LOGIN = "run `gcloud auth login`, or ask for the roles listed in docs/gke.md"
_NOT_FOUND = re.compile(r"\b404\b|NOT_FOUND|not found|doesn't have a resource type")


def cluster_findings(deployed: Deployed, make_up: str) -> Iterator[Finding]:
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
    with temporary_kubeconfig() as environment:
        examination = _Examination(deployed, environment, make_up)
        if deployed.bucket and deployed.project:
            yield examination.bucket()
        yield from examination.model_files()
        if deployed.cluster is None:
            yield Finding("cluster", State.WRONG, f"there is no cluster: `{make_up}` makes it")
        else:
            yield from examination.in_cluster(deployed.cluster)
        if deployed.certificate:
            yield examination.domain()


@dataclass(frozen=True)
class _Examination:
    deployed: Deployed
    environment: dict[str, str]
    make_up: str

    def bucket(self) -> Finding:
        """Whether IAM lets the pods' service account read the bucket."""
        bucket = f"gs://{self.deployed.bucket}"
        try:
            policy = self._gcloud("storage", "buckets", "get-iam-policy", bucket)
        except ToolError as error:
            return Finding("bucket", State.UNKNOWN, f"{error}: {_LOGIN}")
        pod = f"{self.deployed.project}.svc.id.goog/subject/ns/{NAMESPACE}/sa/{SERVICE_ACCOUNT}"
        for binding in list_at(policy, "bindings"):
            members = [m for m in list_at(binding, "members") if isinstance(m, str)]
            if at(binding, "role") == READER_ROLE and any(m.endswith(pod) for m in members):
                return Finding("bucket", State.OK, f"pods can read {bucket}")
        message = f"pods cannot read {bucket} ({NAMESPACE}/{SERVICE_ACCOUNT} lacks {READER_ROLE})"
        return Finding("bucket", State.WRONG, f"{message}: grant it with `{self.make_up}`")

    def model_files(self) -> Iterator[Finding]:
        """Whether the models that pods may read are in the bucket, the stack's own first."""
        if not self.deployed.model_uris:
            message = f"no model has been exported: `{self.make_up}` does it"
            yield Finding("files", State.WRONG, message)
        for uri in self.deployed.model_uris:
            yield self._files_of(uri)

    def _files_of(self, uri: str) -> Finding:
        url = f"{uri}/1/saved_model.pb"  # uploaded last
        is_old = uri != self.deployed.model_uris[0]
        try:
            self._gcloud("storage", "objects", "describe", url)
        except ToolError as error:
            if not _NOT_FOUND.search(str(error)):
                return Finding("files", State.UNKNOWN, f"{error}: {_LOGIN}")
            if is_old:
                message = f"the old model is not in {uri}: pods that read it cannot restart"
                return Finding("files", State.WAIT, message)
            message = f"{url} does not exist: export the model with `{self.make_up}`"
            return Finding("files", State.WRONG, message)
        which = "the old model" if is_old else "the model"
        return Finding("files", State.OK, f"{which} is in {uri}")

    def in_cluster(self, cluster: ClusterName) -> Iterator[Finding]:
        """The checks that need the Kubernetes API, and the quota for more nodes."""
        reached = self._reach(cluster)
        yield reached
        if reached.state is State.OK:
            if self.deployed.has_keys:
                yield self._keys()
            if self.deployed.has_knative:
                yield from self._knative()
            yield from self._workload()
        yield from self._quotas(cluster)

    def domain(self) -> Finding:
        """Whether the domain leads to the load balancer, and has its certificate."""
        problem = dns_problem(self.deployed.endpoint, self.deployed.address)
        if problem:
            return Finding("domain", State.WRONG, problem)
        name = self.deployed.certificate
        try:
            found = self._gcloud("compute", "ssl-certificates", "describe", name, "--global")
        except ToolError as error:
            return Finding("domain", State.UNKNOWN, f"{error}: {_LOGIN}")
        return certificate_finding(found)

    def _reach(self, cluster: ClusterName) -> Finding:
        """Whether the cluster's Kubernetes API can be reached."""
        try:
            get_credentials(cluster, self.environment)
            self._kubectl("get", "namespace", NAMESPACE)
        except ToolError as error:
            return Finding("cluster", State.WRONG, f"{error}: {_LOGIN}, or run `{self.make_up}`")
        # The examination has credentials of its own; a command that is typed needs them first.
        typed = f"before kubectl, type `{cluster.credentials_command}`"
        return Finding("cluster", State.OK, f"{cluster.name} in {cluster.location}; {typed}")

    def _keys(self) -> Finding:
        try:
            return keys_finding(self._kubectl("get", "secret", KEYS_SECRET), self.make_up)
        except ToolError as error:
            if not _NOT_FOUND.search(str(error)):
                return Finding("keys", State.UNKNOWN, f"{error}: {_LOGIN}")
            message = f"there is no Secret {KEYS_SECRET}, so that no pod starts: `{self.make_up}`"
            return Finding("keys", State.WRONG, f"{message} makes it again")

    def _knative(self) -> Iterator[Finding]:
        """Whether it is installed, and if so, how its workers fare."""
        try:
            installation = self._kubectl("get", *INSTALLATION, namespace=SYSTEM_NAMESPACE)
            found = installation_finding(installation, self.make_up)
            yield found
            if found.state is State.OK:
                items = list_at(self._kubectl("get", KNATIVE_KINDS), "items")
                yield from worker_findings(items, self.make_up)
        except ToolError as error:
            if not _NOT_FOUND.search(str(error)):
                yield Finding("knative", State.UNKNOWN, f"{error}: {_LOGIN}")
                return
            message = "the cluster has no Knative, so that there are no workers"
            yield Finding("knative", State.WRONG, f"{message}: `{self.make_up}` installs it")

    def _workload(self) -> Iterator[Finding]:
        try:
            items = list_at(self._kubectl("get", KINDS, "-l", PODS), "items")
        except ToolError as error:
            yield Finding("pods", State.UNKNOWN, f"{error}: {_LOGIN}")
            return
        pods = pods_of(items)
        rollout = list(rollout_findings(items, pods, self.deployed.fingerprint, self.make_up))
        yield from rollout
        if not pods and not rollout:
            message = f"there are no pods: run `{self.make_up}`, and see `kubectl get events -n"
            yield Finding("pods", State.WRONG, f"{message} {NAMESPACE}`")
        for pod in pods:
            found = pod_finding(pod)
            lines = () if found.state is State.OK else self._events(pod)
            yield Finding(found.check, found.state, found.message, lines)
            yield from self._log(pod)

    def _events(self, pod: Pod) -> tuple[str, ...]:
        """What Kubernetes says of a pod that does not serve; nothing if it cannot be asked."""
        try:
            of_pod = f"--field-selector=involvedObject.name={pod.name}"
            return event_lines(list_at(self._kubectl("get", "events", of_pod), "items"))
        except ToolError:
            return ()

    def _log(self, pod: Pod) -> Iterator[Finding]:
        source = log_source(pod)
        if source is None:
            return
        command = ["kubectl", "logs", "-n", NAMESPACE, pod.name, "-c", source.container]
        command += [f"--tail={LOG_LINES}", *(["--previous"] if source.previous else [])]
        try:
            text = tool_output(command, self.environment)
        except ToolError as error:
            yield Finding("log", State.UNKNOWN, f"{pod.name}: {error}")
        else:
            yield log_finding(pod, source, text, self.make_up)

    def _quotas(self, cluster: ClusterName) -> Iterator[Finding]:
        try:
            pools = self._gcloud(
                *("container", "node-pools", "list", "--cluster", cluster.name),
                *("--location", cluster.location),
            )
            region = self._gcloud("compute", "regions", "describe", cluster.region)
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
        project = ["--project", self.deployed.project] if self.deployed.project else []
        return tool_json(
            ["gcloud", *arguments, *project, "--format=json", "--quiet"], self.environment
        )

    def _kubectl(self, *arguments: str, namespace: str = NAMESPACE) -> object:
        options = ["-n", namespace, "--request-timeout=30s", "-o", "json"]
        return tool_json(["kubectl", *arguments, *options], self.environment)
