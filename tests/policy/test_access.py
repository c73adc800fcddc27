"""Rules for access: nothing is open to everyone, in whatever way it is said."""

from __future__ import annotations

from typing import Any

import pytest

from policy import rules
from policy.resource import Resource
from tests.policy_resources import bucket, firewall, network_policy, service


def kubernetes(place: str, spec: dict[str, Any], **annotations: str) -> Resource:
    return Resource(
        f"kubernetes:{place}", "k", {"metadata": {"annotations": annotations}, "spec": spec}
    )


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        (service(), "has no loadBalancerSourceRanges"),
        (service(loadBalancerSourceRanges=["10.0.0.0/8", "0.0.0.0/0"]), "0.0.0.0/0 is wider"),
        (service(loadBalancerSourceRanges=["everyone"]), "everyone is not an address range"),
        (service(loadBalancerSourceRanges=["2001::/16"]), "2001::/16 is wider than a /32"),
        (network_policy({"ports": []}), "lets in everyone"),
        (network_policy({}), "lets in everyone"),
        (network_policy({"from": [{"ipBlock": {"cidr": "::/0"}}]}), "::/0 is wider"),
        (firewall(), "0.0.0.0/0 is wider than a /8"),
        (firewall(sourceRanges=["0.0.0.0/1"]), "0.0.0.0/1 is wider than a /8"),
        (firewall(sourceRanges=["0.0.0.0/0"], sourceTags=["web"]), "0.0.0.0/0 is wider than a /8"),
        (
            Resource("kubernetes:v1:Service", "s", service().inputs),
            "has no loadBalancerSourceRanges",
        ),
    ],
)
def test_what_is_open_to_everyone_is_reported(resource: Resource, says: str) -> None:
    assert any(says in line for line in rules.no_open_ranges([resource]))


@pytest.mark.parametrize(
    "resource",
    [
        firewall(direction="EGRESS"),
        firewall(denies=[{"protocol": "all"}]),
        firewall(sourceTags=["web"]),
        service(type="ClusterIP"),
        network_policy({"from": [{"podSelector": {}}]}),
        kubernetes("serving.knative.dev/v1:Service", {"type": "LoadBalancer"}),
        Resource("gcp:cloudrunv2/service:Service", "r", {"spec": {"type": "LoadBalancer"}}),
    ],
)
def test_what_opens_nothing_is_not_remarked_on(resource: Resource) -> None:
    assert rules.no_open_ranges([resource]) == []


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        (service(type="NodePort"), "is a NodePort, which has no source ranges"),
        (service(externalIPs=["203.0.113.7"]), "has externalIPs, which have no source ranges"),
        (kubernetes("networking.k8s.io/v1:Ingress", {}), "is public"),
        (kubernetes("networking.k8s.io/v1:Ingress", {"ingressClassName": "gce"}), "is public"),
        (kubernetes("gateway.networking.k8s.io/v1:Gateway", {}), "is public"),
        (
            kubernetes(
                "gateway.networking.k8s.io/v1:Gateway",
                {"gatewayClassName": "gke-l7-regional-external-managed"},
            ),
            "is public",
        ),
    ],
)
def test_another_way_in_is_reported(resource: Resource, says: str) -> None:
    (line,) = rules.only_load_balancers_are_exposed([resource])
    assert says in line


@pytest.mark.parametrize(
    "resource",
    [
        service(),
        kubernetes("networking.k8s.io/v1:Ingress", {"ingressClassName": "gce-internal"}),
        kubernetes(
            "networking.k8s.io/v1:Ingress", {}, **{"kubernetes.io/ingress.class": "gce-internal"}
        ),
        kubernetes("gateway.networking.k8s.io/v1:Gateway", {"gatewayClassName": "gke-l7-rilb"}),
    ],
)
def test_an_internal_way_in_is_not_remarked_on(resource: Resource) -> None:
    assert rules.only_load_balancers_are_exposed([resource]) == []


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        (bucket(publicAccessPrevention="inherited"), "not enforced"),
        (bucket(uniformBucketLevelAccess=False), "BucketLevelAccess is not on"),
        (
            Resource("gcp:storage/bucketIAMMember:BucketIAMMember", "m", {"member": "allUsers"}),
            "is granted to allUsers",
        ),
        (
            Resource(
                "gcp:storage/bucketIAMBinding:BucketIAMBinding",
                "m",
                {"members": ["user:ada@example.org", "allAuthenticatedUsers"]},
            ),
            "is granted to allAuthenticatedUsers",
        ),
        (
            Resource(
                "gcp:storage/bucketAccessControl:BucketAccessControl", "m", {"entity": "allUsers"}
            ),
            "is granted to allUsers",
        ),
    ],
)
def test_a_bucket_or_role_for_everyone_is_reported(resource: Resource, says: str) -> None:
    assert any(says in line for line in rules.buckets_are_private([resource]))
