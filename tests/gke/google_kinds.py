"""The kinds of resources that the stand-in for Google Cloud knows, and what each one needs."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.gke.gcp_types import API

PROJECT_NUMBER = "123456789012"

Properties = dict[str, Any]
Resources = dict[str, Properties]
"""All resources of the project by id."""
Create = Callable[[Resources, str, Properties], tuple[str, Properties]]


class RefusedError(Exception):
    """Google's answer to a request that it does not carry out."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"googleapi: Error {code}: {message}, {reason}")
        self.code = code


def api_of(kind: str) -> str:
    return API.get(kind, "cloudresourcemanager.googleapis.com")


def require_api(all_: Resources, kind: str, project: str) -> None:
    api = API.get(kind)
    if api is not None and f"{project}/{api}" not in all_:
        raise not_enabled(api)


def not_enabled(api: str) -> RefusedError:
    return RefusedError(
        403,
        "accessNotConfigured",
        f"{api} has not been used in project {PROJECT_NUMBER} before or it is disabled. Enable it "
        f"by visiting https://console.developers.google.com/apis/api/{api}/overview?project="
        f"{PROJECT_NUMBER} then retry. If you enabled this API recently, wait a few minutes for "
        "the action to propagate to our systems and retry.",
    )


def existing(all_: Resources, id_: str) -> Properties:
    if id_ not in all_:
        raise RefusedError(404, "notFound", f"The resource '{id_}' was not found")
    return all_[id_]


def _of(all_: Resources, kind: str) -> Iterator[tuple[str, Properties]]:
    return ((id_, own) for id_, own in all_.items() if own["kind"] == kind)


def uses(all_: Resources, id_: str, own: Properties) -> list[str]:
    """The ids of what still uses this resource."""
    keys = {
        "Network": ("network",),
        "Subnetwork": ("subnetwork",),
        "Address": ("address",),
        "GlobalAddress": ("address",),
        "ManagedSslCertificate": ("certificate",),
        "SSLPolicy": ("sslPolicy",),
        "SecurityPolicy": ("securityPolicy",),
    }.get(own["kind"], ())
    return [other for other, theirs in all_.items() if any(theirs.get(k) == id_ for k in keys)]


def _api(_all: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    return f"{project}/{props['service']}", {}


def _network(_all: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    return f"projects/{project}/global/networks/{props['name']}", {}


def _ranges(subnetwork: Properties) -> list[tuple[str, ipaddress.IPv4Network]]:
    secondary = subnetwork.get("secondaryIpRanges") or []
    named = [("", subnetwork["ipCidrRange"])]
    named += [(one["rangeName"], one["ipCidrRange"]) for one in secondary]
    return [(name, ipaddress.IPv4Network(text)) for name, text in named]


def _subnetwork(all_: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    existing(all_, props["network"])
    taken = [
        found
        for _, other in _of(all_, "Subnetwork")
        if other["network"] == props["network"]
        for _, found in _ranges(other)
    ]
    for _, wanted in _ranges(props):
        if any(wanted.overlaps(other) for other in taken):
            raise RefusedError(
                400, "invalid", f"IpCidrRange {wanted} conflicts with an existing subnetwork"
            )
        taken.append(wanted)
    return f"projects/{project}/regions/{props['region']}/subnetworks/{props['name']}", {}


def _router(all_: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    existing(all_, props["network"])
    return f"projects/{project}/regions/{props['region']}/routers/{props['name']}", {}


def _nat(all_: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    router = f"projects/{project}/regions/{props['region']}/routers/{props['router']}"
    existing(all_, router)
    return f"{project}/{props['region']}/{props['router']}/{props['name']}", {"part_of": router}


def _address(_all: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    id_ = f"projects/{project}/regions/{props['region']}/addresses/{props['name']}"
    return id_, {"address": "127.9.8.7"}


def _global(collection: str, **computed: str) -> Create:
    """A resource of no region, in this collection."""
    return lambda _all, project, props: (
        f"projects/{project}/global/{collection}/{props['name']}",
        dict(computed),
    )


def _bucket(_all: Resources, _project: str, props: Properties) -> tuple[str, Properties]:
    computed = {"url": f"gs://{props['name']}", "projectNumber": int(PROJECT_NUMBER)}
    return props["name"], computed


def _account(_all: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    email = f"{props['accountId']}@{project}.iam.gserviceaccount.com"
    computed = {"email": email, "member": f"serviceAccount:{email}"}
    return f"projects/{project}/serviceAccounts/{email}", computed


def _project_member(all_: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    _require_account(all_, project, props["member"].removeprefix("serviceAccount:"))
    return f"{project}/{props['role']}/{props['member']}", {"etag": "e"}


def _bucket_member(all_: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    existing(all_, props["bucket"])
    pool = f"{project}.svc.id.goog"
    if props["member"].startswith("principal") and pool not in all_:
        raise RefusedError(400, "invalid", f"Identity Pool does not exist ({pool})")
    id_ = f"b/{props['bucket']}/{props['role']}/{props['member']}"
    return id_, {"etag": "e", "part_of": props["bucket"]}


def _require_account(all_: Resources, project: str, email: str) -> None:
    if f"projects/{project}/serviceAccounts/{email}" not in all_:
        raise RefusedError(400, "badRequest", f"Service account {email} does not exist")


def _repository(_all: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    place, name = f"projects/{project}/locations/{props['location']}", props["repositoryId"]
    return f"{place}/repositories/{name}", {"path": f"{project}/{name}"}


def _repository_member(all_: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    place = f"projects/{project}/locations/{props['location']}"
    repository = f"{place}/repositories/{props['repository']}"
    existing(all_, repository)
    _require_account(all_, project, props["member"].removeprefix("serviceAccount:"))
    id_ = f"{repository}/{props['role']}/{props['member']}"
    return id_, {"etag": "e", "part_of": repository}


def _cluster(all_: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    location = props["location"]
    region = location if location.count("-") == 1 else location.rpartition("-")[0]
    existing(all_, props["network"])
    subnetwork = existing(all_, props["subnetwork"])
    if subnetwork["network"] != props["network"] or subnetwork["region"] != region:
        raise RefusedError(
            400, "badRequest", f"{props['subnetwork']} is not in the cluster's region"
        )
    policy = props["ipAllocationPolicy"]
    wanted = {policy["clusterSecondaryRangeName"], policy["servicesSecondaryRangeName"]}
    missing = wanted - {name for name, _ in _ranges(subnetwork)}
    if missing:
        raise RefusedError(400, "badRequest", f"secondary range {missing} does not exist")
    for id_, other in _of(all_, "Cluster"):
        if other["subnetwork"] == props["subnetwork"]:
            raise RefusedError(
                400, "badRequest", f"Services range is already used by another cluster, {id_}"
            )
    _require_account(all_, project, props["nodeConfig"]["serviceAccount"])
    pool = f"{project}.svc.id.goog"
    all_[pool] = {"kind": "WorkloadPool"}
    return f"projects/{project}/locations/{location}/clusters/{props['name']}", {}


def _node_pool(all_: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    existing(all_, props["cluster"])
    _require_account(all_, project, props["nodeConfig"]["serviceAccount"])
    return f"{props['cluster']}/nodePools/{props['name']}", {"part_of": props["cluster"]}


def _numbered(all_: Resources, project: str, kind: str, folder: str) -> str:
    return f"projects/{project}/{folder}/{1 + sum(1 for _ in _of(all_, kind))}"


def _dashboard(all_: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    json.loads(props["dashboardJson"])
    return _numbered(all_, project, "Dashboard", "dashboards"), {}


def _channel(all_: Resources, project: str, _props: Properties) -> tuple[str, Properties]:
    name = _numbered(all_, project, "NotificationChannel", "notificationChannels")
    return name, {"name": name}


def _policy(all_: Resources, project: str, props: Properties) -> tuple[str, Properties]:
    for channel in props["notificationChannels"]:
        existing(all_, channel)
    return _numbered(all_, project, "AlertPolicy", "alertPolicies"), {}


CREATE: dict[str, Create] = {
    "Api": _api,
    "Network": _network,
    "Subnetwork": _subnetwork,
    "Router": _router,
    "RouterNat": _nat,
    "Address": _address,
    "GlobalAddress": _global("addresses", address="127.9.8.5"),
    "ManagedSslCertificate": _global("sslCertificates"),
    "SSLPolicy": _global("sslPolicies"),
    "SecurityPolicy": _global("securityPolicies"),
    "Bucket": _bucket,
    "BucketIAMMember": _bucket_member,
    "Repository": _repository,
    "RepositoryIamMember": _repository_member,
    "Account": _account,
    "IAMMember": _project_member,
    "Cluster": _cluster,
    "NodePool": _node_pool,
    "Dashboard": _dashboard,
    "NotificationChannel": _channel,
    "AlertPolicy": _policy,
}
SHARED = ("Api", "IAMMember", "BucketIAMMember", "RepositoryIamMember")
"""Kinds of which a second, equal one is the first."""
