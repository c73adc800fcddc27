"""The stand-in for Google Cloud refuses what Google refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.gke.gcp_diff import changes, replaces
from tests.gke.google_cloud import GoogleCloud
from tests.gke.google_kinds import RefusedError

PROJECT = "p"
NETWORK = "projects/p/global/networks/n"
SUBNETWORK = "projects/p/regions/us-central1/subnetworks/s"
ACCOUNT = "nodes@p.iam.gserviceaccount.com"
APIS = ("artifactregistry", "cloudresourcemanager", "compute", "container", "iam", "storage")
MEMBER = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p.svc"
CREATED: list[tuple[str, dict[str, Any]]] = [
    ("Network", {"name": "n"}),
    (
        "Subnetwork",
        {
            "name": "s",
            "network": NETWORK,
            "region": "us-central1",
            "ipCidrRange": "10.0.0.0/20",
            "secondaryIpRanges": [
                {"rangeName": "pods", "ipCidrRange": "10.4.0.0/16"},
                {"rangeName": "services", "ipCidrRange": "10.8.0.0/20"},
            ],
        },
    ),
    ("Bucket", {"name": "b"}),
    ("Account", {"accountId": "nodes"}),
    ("Repository", {"location": "us-central1", "repositoryId": "images"}),
    (
        "RepositoryIamMember",
        {
            "location": "us-central1",
            "repository": "images",
            "role": "r",
            "member": f"serviceAccount:{ACCOUNT}",
        },
    ),
    (
        "Cluster",
        {
            "name": "c",
            "location": "us-central1-c",
            "network": NETWORK,
            "subnetwork": SUBNETWORK,
            "ipAllocationPolicy": {
                "clusterSecondaryRangeName": "pods",
                "servicesSecondaryRangeName": "services",
            },
            "nodeConfig": {"serviceAccount": ACCOUNT},
        },
    ),
    ("BucketIAMMember", {"bucket": "b", "role": "r", "member": MEMBER}),
    (
        "NodePool",
        {
            "name": "d",
            "cluster": "projects/p/locations/us-central1-c/clusters/c",
            "nodeConfig": {"serviceAccount": ACCOUNT},
        },
    ),
]
"""What a cluster needs, in an order that works."""
NEEDING = {
    "Network": ("Subnetwork", "Cluster", "NodePool", "BucketIAMMember"),
    "Subnetwork": ("NodePool", "BucketIAMMember"),
    "Account": ("NodePool", "BucketIAMMember", "RepositoryIamMember"),
    "Cluster": ("NodePool", "BucketIAMMember"),
    "Bucket": (),
    "Repository": (),
}
"""What cannot be there without it."""


@pytest.fixture
def google(tmp_path: Path) -> GoogleCloud:
    return GoogleCloud(tmp_path)


def enable(google: GoogleCloud) -> None:
    for api in APIS:
        google.create("Api", PROJECT, {"service": f"{api}.googleapis.com"})


def create(google: GoogleCloud, *but: str) -> None:
    enable(google)
    for kind, props in CREATED:
        if kind not in but:
            google.create(kind, PROJECT, props)


def props_of(kind: str, **changed: Any) -> dict[str, Any]:
    return {**dict(CREATED)[kind], **changed}


def delete(google: GoogleCloud, id_: str, *, is_empty: bool = True) -> None:
    google.delete(id_, lambda _bucket: is_empty)


def test_a_whole_cluster_is_created_and_deleted_in_the_right_order(google: GoogleCloud) -> None:
    create(google)
    assert len(google.left()) == len(CREATED)
    for id_ in (
        "projects/p/locations/us-central1-c/clusters/c",
        SUBNETWORK,
        NETWORK,
        "b",
        "projects/p/locations/us-central1/repositories/images",
        f"projects/p/serviceAccounts/{ACCOUNT}",
    ):
        delete(google, id_)
    assert google.left() == []


def test_nothing_is_created_while_its_api_is_disabled(google: GoogleCloud) -> None:
    with pytest.raises(RefusedError, match="has not been used in project"):
        google.create("Network", PROJECT, {"name": "n"})


@pytest.mark.parametrize(
    ("without", "then"),
    [
        ("Network", "Subnetwork"),
        ("Subnetwork", "Cluster"),
        ("Account", "Cluster"),
        ("Cluster", "BucketIAMMember"),
        ("Cluster", "NodePool"),
        ("Bucket", "BucketIAMMember"),
        ("Repository", "RepositoryIamMember"),
    ],
)
def test_what_needs_another_is_refused_before_it(
    google: GoogleCloud, without: str, then: str
) -> None:
    create(google, without, then, *NEEDING[without])
    with pytest.raises(RefusedError, match=r"was not found|does not exist"):
        google.create(then, PROJECT, props_of(then))


@pytest.mark.parametrize("used", [NETWORK, SUBNETWORK])
def test_what_is_in_use_is_not_deleted(google: GoogleCloud, used: str) -> None:
    create(google)
    with pytest.raises(RefusedError, match="already being used"):
        delete(google, used)


def test_a_network_with_a_load_balancers_firewall_is_not_deleted(google: GoogleCloud) -> None:
    create(google, "Subnetwork", "Cluster", "NodePool", "BucketIAMMember")
    with google.changing() as resources:
        resources["firewalls/1"] = {"kind": "Firewall", "network": NETWORK}
    with pytest.raises(RefusedError, match="already being used by 'firewalls/1'"):
        delete(google, NETWORK)


def test_a_name_is_taken_once(google: GoogleCloud) -> None:
    create(google)
    with pytest.raises(RefusedError, match="already exists"):
        google.create("Network", PROJECT, {"name": "n"})


def test_ranges_of_a_network_do_not_overlap(google: GoogleCloud) -> None:
    create(google)
    other = props_of("Subnetwork", name="other", region="us-east1", ipCidrRange="10.64.0.0/20")
    with pytest.raises(RefusedError, match="conflicts with an existing subnetwork"):
        google.create("Subnetwork", PROJECT, other)


def test_two_clusters_do_not_share_ranges(google: GoogleCloud) -> None:
    create(google)
    with pytest.raises(RefusedError, match="already used by another cluster"):
        google.create("Cluster", PROJECT, props_of("Cluster", name="second"))


def test_a_cluster_is_in_its_subnetworks_region(google: GoogleCloud) -> None:
    create(google, "Cluster", "NodePool", "BucketIAMMember")
    with pytest.raises(RefusedError, match="not in the cluster's region"):
        google.create("Cluster", PROJECT, props_of("Cluster", location="us-east1-b"))


def test_a_bucket_with_objects_is_deleted_only_by_force(google: GoogleCloud) -> None:
    enable(google)
    google.create("Bucket", PROJECT, {"name": "kept"})
    google.create("Bucket", PROJECT, {"name": "b", "forceDestroy": True})
    with pytest.raises(RefusedError, match="not empty"):
        delete(google, "kept", is_empty=False)
    delete(google, "b", is_empty=False)
    assert google.left() == ["kept"]


def test_what_was_ordered_goes_wrong_once(google: GoogleCloud) -> None:
    google.order("create", "Cluster", "forbidden")
    google.order("create", "Cluster", "hang")
    assert google.fault("create", "Network") is None
    assert [google.fault("create", "Cluster") for _ in range(3)] == ["forbidden", "hang", None]


def test_a_change_is_found_at_its_path_and_replaces_where_google_cannot_change_it() -> None:
    old = {"nodeConfig": {"spot": True, "machineType": "a"}, "ranges": [{"name": "x"}]}
    new = {"nodeConfig": {"spot": False, "machineType": "b"}, "ranges": [{"name": "y"}]}
    assert list(changes(old, new)) == [
        "nodeConfig.machineType",
        "nodeConfig.spot",
        "ranges[0].name",
    ]
    assert replaces("NodePool", "nodeConfig.spot")
    assert not replaces("NodePool", "nodeConfig.machineType")
    assert replaces("Cluster", "nodeConfig.machineType") and replaces("Cluster", "location")
