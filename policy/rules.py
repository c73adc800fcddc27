"""Rules for the resources that a program registers, as plain functions.

Each takes resources as the engine sees them (type token, inputs in camel case) and returns the
violations, a line each. The docstrings are the policies' descriptions.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_WIDEST_PREFIX_BITS = 8
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")


@dataclass(frozen=True)
class Resource:
    """One resource: its inputs, and its Kubernetes or cloud name if it has one."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    protect: bool = False
    object_name: str = ""

    @property
    def kind(self) -> str:
        """The last part of the type, like `Deployment`."""
        return self.type.rpartition(":")[2]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


Rule = Callable[[Sequence[Resource]], list[str]]


def no_open_ranges(resources: Sequence[Resource]) -> list[str]:
    """Source ranges are set, and are not open to everyone."""
    found: list[str] = []
    for one in resources:
        if one.kind == "Service" and one.inputs.get("spec", {}).get("type") == "LoadBalancer":
            ranges = _texts(one.inputs["spec"].get("loadBalancerSourceRanges"))
            if not ranges:
                found.append(f"{one}: has no loadBalancerSourceRanges, so everyone may connect")
            found += _wide(one, ranges)
        if one.kind == "NetworkPolicy":
            for rule in one.inputs["spec"].get("ingress", []):
                peers: list[dict[str, Any]] = rule.get("from") or []
                if not peers:
                    found.append(f"{one}: has an ingress rule that lets in everyone")
                found += _wide(one, [str(p["ipBlock"]["cidr"]) for p in peers if "ipBlock" in p])
        if one.kind == "Firewall" and one.inputs.get("direction", "INGRESS") == "INGRESS":
            found += _wide(one, _texts(one.inputs.get("sourceRanges")) or ["0.0.0.0/0"])
    return found


def no_floating_images(resources: Sequence[Resource]) -> list[str]:
    """Every image is pinned to a version or a digest."""
    return [
        f"{one}: {image} is not pinned to a version"
        for one, container in _containers(resources)
        if _is_floating(image := str(container.get("image", "")))
    ]


def requests_and_limits(resources: Sequence[Resource]) -> list[str]:
    """Every container sets CPU and memory requests and limits."""
    found: list[str] = []
    for one, container in _containers(resources):
        declared = container.get("resources", {})
        for group in ("requests", "limits"):
            for what in ("cpu", "memory"):
                if what not in declared.get(group, {}):
                    found.append(f"{one}: container {container['name']} has no {what} in {group}")
    return found


def no_replicas_beside_an_autoscaler(resources: Sequence[Resource]) -> list[str]:
    """A workload with an autoscaler does not set replicas."""
    targets = {
        (target["kind"], target["name"])
        for one in resources
        if one.kind == "HorizontalPodAutoscaler"
        for target in [one.inputs["spec"]["scaleTargetRef"]]
    }
    return [
        f"{one}: sets replicas, which its autoscaler owns"
        for one in resources
        if (one.kind, one.object_name) in targets and "replicas" in one.inputs["spec"]
    ]


def buckets_are_private(resources: Sequence[Resource]) -> list[str]:
    """No bucket can be made public, and no role is granted to everyone."""
    found: list[str] = []
    for one in resources:
        if one.type == "gcp:storage/bucket:Bucket":
            if one.inputs.get("publicAccessPrevention") != "enforced":
                found.append(f"{one}: publicAccessPrevention is not enforced")
            if one.inputs.get("uniformBucketLevelAccess") is not True:
                found.append(f"{one}: uniformBucketLevelAccess is not on")
        if one.inputs.get("member") in ("allUsers", "allAuthenticatedUsers"):
            found.append(f"{one}: is granted to {one.inputs['member']}")
    return found


def pods_are_locked_down(resources: Sequence[Resource]) -> list[str]:
    """No container can run as root, gain privileges or write to its root file system."""
    found: list[str] = []
    for one, container in _containers(resources):
        own = container.get("securityContext", {})
        if not _pod_spec(one).get("securityContext", {}).get("runAsNonRoot"):
            found.append(f"{one}: can run as root")
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            found.append(f"{one}: container {container['name']} can gain privileges")
        if not own.get("readOnlyRootFilesystem"):
            found.append(f"{one}: container {container['name']} has a writable root file system")
    return found


def protected(resources: Sequence[Resource]) -> list[str]:
    """Cluster, bucket and namespace are protected from deletion, in production stacks."""
    found: list[str] = []
    for one in resources:
        if one.type in (
            "gcp:container/cluster:Cluster",
            "gcp:storage/bucket:Bucket",
            "kubernetes:core/v1:Namespace",
        ):
            if not one.protect:
                found.append(f"{one}: is not protected")
            if one.kind == "Cluster" and one.inputs.get("deletionProtection") is not True:
                found.append(f"{one}: has no deletion protection")
            if one.kind == "Bucket" and one.inputs.get("forceDestroy"):
                found.append(f"{one}: forceDestroy deletes all its objects")
    return found


EVERYWHERE: tuple[Rule, ...] = (
    no_open_ranges,
    no_floating_images,
    requests_and_limits,
    no_replicas_beside_an_autoscaler,
    buckets_are_private,
    pods_are_locked_down,
)
"""Rules for every stack; `protected` is for production stacks."""


def violations(resources: Sequence[Resource], *, must_be_protected: bool) -> list[str]:
    """The violations of all rules, each line with its rule's name."""
    rules = (*EVERYWHERE, protected) if must_be_protected else EVERYWHERE
    return [f"{rule.__name__}: {line}" for rule in rules for line in rule(resources)]


def _wide(one: Resource, ranges: Sequence[str]) -> list[str]:
    return [
        f"{one}: {text} is wider than a /{_WIDEST_PREFIX_BITS}"
        for text in ranges
        if ipaddress.ip_network(text, strict=False).prefixlen < _WIDEST_PREFIX_BITS
    ]


def _texts(value: Any) -> list[str]:
    return [str(text) for text in value or ()]


def _is_floating(image: str) -> bool:
    path, _, digest = image.partition("@")
    _, _, tag = path.rpartition("/")[2].partition(":")
    return not digest and tag in ("", "latest", "nightly")


def _pod_spec(one: Resource) -> Mapping[str, Any]:
    return one.inputs["spec"]["template"]["spec"]


def _containers(resources: Iterable[Resource]) -> Iterator[tuple[Resource, Mapping[str, Any]]]:
    for one in resources:
        if one.kind in _WORKLOADS and one.type.startswith("kubernetes:"):
            spec = _pod_spec(one)
            for container in [*spec.get("initContainers", []), *spec["containers"]]:
                yield one, container
