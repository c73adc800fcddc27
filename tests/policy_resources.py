"""Resources for the policy rules: of a stack's run, and small compliant ones to break."""

from __future__ import annotations

from typing import Any

from policy.resource import Resource
from render.recorder import Run

CONTAINER: dict[str, Any] = {
    "name": "c",
    "image": "tensorflow/serving:2.20.0",
    "resources": {
        "requests": {"cpu": "1", "memory": "1Gi"},
        "limits": {"cpu": "1", "memory": "1Gi"},
    },
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
}

POD: dict[str, Any] = {
    "automountServiceAccountToken": False,
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [CONTAINER],
}

AUTOSCALER = Resource(
    "kubernetes:autoscaling/v2:HorizontalPodAutoscaler",
    "h",
    {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d-1"}}},
)

PLACES: dict[str, tuple[str, ...]] = {
    "core/v1:Pod": ("spec",),
    "core/v1:PodTemplate": ("template", "spec"),
    "core/v1:ReplicationController": ("spec", "template", "spec"),
    "apps/v1:Deployment": ("spec", "template", "spec"),
    "apps/v1:StatefulSet": ("spec", "template", "spec"),
    "apps/v1:DaemonSet": ("spec", "template", "spec"),
    "apps/v1:ReplicaSet": ("spec", "template", "spec"),
    "batch/v1:Job": ("spec", "template", "spec"),
    "batch/v1:CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "serving.knative.dev/v1:Service": ("spec", "template", "spec"),
    "argoproj.io/v1alpha1:Rollout": ("spec", "template", "spec"),
    "leaderworkerset.x-k8s.io/v1:LeaderWorkerSet": (
        "spec",
        "leaderWorkerTemplate",
        "workerTemplate",
        "spec",
    ),
}
"""Where the spec of a pod stands in the kinds that have one."""


def resources_of(run: Run) -> list[Resource]:
    return [
        Resource(
            type=r.type,
            name=r.name,
            inputs=r.inputs,
            protect=r.protect,
            object_name=r.outputs.get("metadata", {}).get("name", ""),
        )
        for r in run.resources
    ]


def with_pod(place: str, pod: dict[str, Any]) -> Resource:
    """A resource of this group, version and kind that has this pod."""
    inputs = pod
    for key in reversed(PLACES[place]):
        inputs = {key: inputs}
    return Resource(f"kubernetes:{place}", "w", inputs)


def deployment(spec: dict[str, Any] | None = None, **container: Any) -> Resource:
    pod = {**POD, "containers": [{**CONTAINER, **container}]}
    inputs = {"spec": {"template": {"spec": pod}, **(spec or {})}}
    return Resource("kubernetes:apps/v1:Deployment", "d", inputs, object_name="d-1")


def service(**spec: Any) -> Resource:
    return Resource("kubernetes:core/v1:Service", "s", {"spec": {"type": "LoadBalancer", **spec}})


def network_policy(*ingress: Any) -> Resource:
    kind = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
    return Resource(kind, "n", {"spec": {"ingress": list(ingress)}})


def firewall(**inputs: Any) -> Resource:
    return Resource("gcp:compute/firewall:Firewall", "f", inputs)


def bucket(protect: bool = False, **changes: Any) -> Resource:
    inputs = {"publicAccessPrevention": "enforced", "uniformBucketLevelAccess": True, **changes}
    return Resource("gcp:storage/bucket:Bucket", "b", inputs, protect=protect)


def compliant() -> list[Resource]:
    """Resources that every rule reads something of and finds nothing in."""
    return [
        deployment(),
        *(with_pod(place, POD) for place in PLACES),
        AUTOSCALER,
        service(loadBalancerSourceRanges=["10.0.0.0/8"]),
        network_policy({"from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}),
        firewall(sourceRanges=["10.0.0.0/8"]),
        bucket(protect=True),
        Resource("gcp:storage/bucketIAMMember:BucketIAMMember", "m", {"member": "user:ada@x.org"}),
        Resource("gcp:container/cluster:Cluster", "k", {"deletionProtection": True}, protect=True),
        Resource("kubernetes:core/v1:Namespace", "ns", {"metadata": {"name": "ns"}}, protect=True),
    ]
