"""Policy rules: every committed stack complies, and each rule finds its violations."""

from __future__ import annotations

from typing import Any

import pytest

from policy import rules
from policy.rules import Resource
from tests.policy_resources import resources_of
from tests.stacks import STACKS, run_of

POD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True},
    "containers": [
        {
            "name": "c",
            "image": "tensorflow/serving:2.20.0",
            "resources": {
                "requests": {"cpu": "1", "memory": "1Gi"},
                "limits": {"cpu": "1", "memory": "1Gi"},
            },
            "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
        }
    ],
}


def deployment(spec: dict[str, Any] | None = None, **container: Any) -> Resource:
    pod = {**POD, "containers": [{**POD["containers"][0], **container}]}
    inputs = {"spec": {"template": {"spec": pod}, **(spec or {})}}
    return Resource("kubernetes:apps/v1:Deployment", "d", inputs, object_name="d-1")


def service(**spec: Any) -> Resource:
    return Resource("kubernetes:core/v1:Service", "s", {"spec": {"type": "LoadBalancer", **spec}})


def policy(*ingress: Any) -> Resource:
    kind = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
    return Resource(kind, "n", {"spec": {"ingress": list(ingress)}})


def bucket(protect: bool = False, **changes: Any) -> Resource:
    inputs = {"publicAccessPrevention": "enforced", "uniformBucketLevelAccess": True, **changes}
    return Resource("gcp:storage/bucket:Bucket", "b", inputs, protect=protect)


AUTOSCALER = Resource(
    "kubernetes:autoscaling/v2:HorizontalPodAutoscaler",
    "h",
    {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d-1"}}},
)


@pytest.mark.parametrize("stack", STACKS)
def test_every_committed_stack_complies_with_the_rules(stack: str) -> None:
    resources = resources_of(run_of(stack))
    assert rules.violations(resources, must_be_protected=stack == "prod") == []


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_other_configurations_of_a_stack_also_comply(stack: str) -> None:
    changed = run_of(stack, modelAccess="fuse", internal="true", deletionProtection="true")
    assert rules.violations(resources_of(changed), must_be_protected=True) == []


def test_dev_is_not_protected_and_the_rule_reports_it() -> None:
    found = rules.protected(resources_of(run_of("dev")))
    assert {line.partition(" ")[0] for line in found} == {"Cluster", "Bucket", "Namespace"}


def test_compliant_resources_have_no_violations() -> None:
    good = [
        deployment(),
        AUTOSCALER,
        service(loadBalancerSourceRanges=["10.0.0.0/8"]),
        policy({"from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}),
        bucket(protect=True),
    ]
    assert rules.violations(good, must_be_protected=True) == []


@pytest.mark.parametrize(
    ("rule", "resource", "says"),
    [
        (rules.no_open_ranges, service(), "no loadBalancerSourceRanges"),
        (
            rules.no_open_ranges,
            service(loadBalancerSourceRanges=["10.0.0.0/8", "0.0.0.0/0"]),
            "0.0.0.0/0 is wider than a /8",
        ),
        (rules.no_open_ranges, policy({"ports": []}), "lets in everyone"),
        (rules.no_open_ranges, policy({"from": [{"ipBlock": {"cidr": "::/0"}}]}), "::/0 is wider"),
        (
            rules.no_open_ranges,
            Resource("gcp:compute/firewall:Firewall", "f", {}),
            "0.0.0.0/0 is wider than a /8",
        ),
        (rules.no_floating_images, deployment(image="tensorflow/serving"), "is not pinned"),
        (rules.no_floating_images, deployment(image="x.io:5000/a/b:latest"), "is not pinned"),
        (rules.no_floating_images, deployment(image="x.io:5000/a/b"), "is not pinned"),
        (rules.requests_and_limits, deployment(resources={}), "has no memory in limits"),
        (
            rules.requests_and_limits,
            deployment(resources={"requests": {"cpu": "1", "memory": "1Gi"}}),
            "container c has no cpu in limits",
        ),
        (rules.buckets_are_private, bucket(publicAccessPrevention="inherited"), "not enforced"),
        (
            rules.buckets_are_private,
            bucket(uniformBucketLevelAccess=False),
            "BucketLevelAccess is not on",
        ),
        (
            rules.buckets_are_private,
            Resource("gcp:storage/bucketIAMMember:BucketIAMMember", "m", {"member": "allUsers"}),
            "is granted to allUsers",
        ),
        (rules.pods_are_locked_down, deployment(securityContext={}), "can gain privileges"),
        (rules.protected, bucket(), "is not protected"),
        (
            rules.protected,
            bucket(protect=True, forceDestroy=True),
            "forceDestroy deletes all its objects",
        ),
    ],
)
def test_a_violation_is_reported(rule: rules.Rule, resource: Resource, says: str) -> None:
    assert any(says in line for line in rule([resource])), rule([resource])


def test_replicas_beside_an_autoscaler_are_reported() -> None:
    found = rules.no_replicas_beside_an_autoscaler([deployment({"replicas": 2}), AUTOSCALER])
    assert found == ["Deployment d: sets replicas, which its autoscaler owns"]
    assert rules.no_replicas_beside_an_autoscaler([deployment({"replicas": 2})]) == []


def test_an_image_with_a_digest_is_pinned() -> None:
    pinned = deployment(image="tensorflow/serving@sha256:" + "0" * 64)
    assert rules.no_floating_images([pinned]) == []
