"""Which pods are a rollout's new ones and which its old, and which model each of them reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from client.doctor.deployed import fingerprint_of
from client.doctor.finding import Finding, State
from client.stacks.tools import at, list_at, text_at

KINDS = "deployments.apps,replicasets.apps,configmaps,pods"
"""What `kubectl get` must list for this."""
_REVISION = "deployment.kubernetes.io/revision"
_POD_HASH = "pod-template-hash"


@dataclass(frozen=True)
class Pod:
    """A pod. age: "new" or "old" during a rollout, else empty; model: its fingerprint."""

    document: object
    age: str
    model: str

    @property
    def name(self) -> str:
        return text_at(self.document, "metadata", "name")

    @property
    def title(self) -> str:
        """Its name, and during a rollout what it belongs to."""
        if not self.age:
            return self.name
        return f"{self.name} ({self.age}{f', model {self.model}' if self.model else ''})"


def pods_of(items: Sequence[object]) -> list[Pod]:
    """The pods in what `kubectl get` lists of KINDS, the new ones first."""
    pods = _of_kind(items, "Pod")
    replica_sets = sorted(_of_kind(items, "ReplicaSet"), key=_revision)
    newest = {_deployment(one): _hash(one) for one in replica_sets}
    in_rollout = {
        _deployment(pod) for pod in pods if newest.get(_deployment(pod)) not in (None, _hash(pod))
    }

    def age(pod: object) -> str:
        deployment = _deployment(pod)
        if deployment not in in_rollout:
            return ""
        return "new" if _hash(pod) == newest[deployment] else "old"

    models = {
        text_at(one, "metadata", "name"): fingerprint_of(text_at(one, "data", "MODEL_PATH"))
        for one in _of_kind(items, "ConfigMap")
    }
    found = [Pod(pod, age(pod), models.get(_config_name(pod), "")) for pod in pods]
    return sorted(found, key=lambda pod: pod.age == "old")


def rollout_findings(
    items: Sequence[object], pods: Sequence[Pod], fingerprint: str, make_up: str
) -> Iterator[Finding]:
    """fingerprint: of the stack's model; make_up: the command that deploys the stack."""
    for condition in _conditions(items):
        if (at(condition, "type"), at(condition, "status")) == ("ReplicaFailure", "True"):
            message = f"Kubernetes does not let pods start: {text_at(condition, 'message')}"
            yield Finding("rollout", State.WRONG, message)
    if any(pod.age for pod in pods):
        new, old = ([pod for pod in pods if pod.age == age] for age in ("new", "old"))
        message = f"new pods: {len(new)}, old: {len(old)}; the old ones serve until the new ones do"
        yield Finding("rollout", State.WAIT, message)
    # Old pods may read an old model; the new ones read the stack's.
    for model in {pod.model for pod in pods if pod.age != "old"} - {fingerprint, ""}:
        message = f"the pods read model {model}, but the stack's is {fingerprint}: run `{make_up}`"
        yield Finding("rollout", State.WRONG, message)


def _conditions(items: Sequence[object]) -> list[object]:
    deployments = _of_kind(items, "Deployment")
    return [entry for one in deployments for entry in list_at(one, "status", "conditions")]


def _of_kind(items: Sequence[object], kind: str) -> list[object]:
    return [item for item in items if at(item, "kind") == kind]


def _revision(replica_set: object) -> int:
    text = text_at(replica_set, "metadata", "annotations", _REVISION)
    return int(text) if text.isdecimal() else 0


def _hash(one: object) -> str:
    return text_at(one, "metadata", "labels", _POD_HASH)


def _deployment(one: object) -> str:
    """The name of the Deployment that a ReplicaSet or a pod belongs to."""
    return text_at(one, "metadata", "name").partition(f"-{_hash(one)}")[0]


def _config_name(pod: object) -> str:
    """The ConfigMap that tells the pod its model."""
    for container in list_at(pod, "spec", "containers"):
        for variable in list_at(container, "env"):
            if at(variable, "name") == "MODEL_PATH":
                return text_at(variable, "valueFrom", "configMapKeyRef", "name")
    return ""
