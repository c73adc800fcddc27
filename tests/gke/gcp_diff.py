"""Which changes the Google Cloud provider makes in place, and which by a replacement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_PLACE = ("name", "project", "region", "location", "network", "subnetwork")
REPLACING: dict[str, tuple[str, ...]] = {
    "Api": ("project", "service"),
    "Network": (*_PLACE, "autoCreateSubnetworks"),
    "Subnetwork": (*_PLACE, "ipCidrRange"),
    "Router": _PLACE,
    "RouterNat": (*_PLACE, "router"),
    "Address": (*_PLACE, "addressType", "networkTier", "purpose", "ipVersion"),
    "GlobalAddress": (*_PLACE, "addressType", "ipVersion"),
    "ManagedSslCertificate": ("name", "project", "managed"),
    "SSLPolicy": ("name", "project"),
    "SecurityPolicy": ("name", "project", "type"),
    "Bucket": _PLACE,
    "BucketIAMMember": ("bucket", "role", "member"),
    "Repository": (*_PLACE, "repositoryId", "format", "kmsKeyName", "mode"),
    "RepositoryIamMember": (*_PLACE, "repository", "role", "member"),
    "IAMMember": ("project", "role", "member"),
    "Account": ("accountId", "project"),
    "Dashboard": ("project",),
    "NotificationChannel": ("project",),
    "AlertPolicy": ("project",),
    "Cluster": (
        *_PLACE,
        *("networkingMode", "ipAllocationPolicy", "datapathProvider", "defaultMaxPodsPerNode"),
        *("initialNodeCount", "nodeConfig", "enableAutopilot", "description"),
    ),
    "NodePool": (
        *("name", "project", "location", "cluster", "initialNodeCount", "maxPodsPerNode"),
        *("placementPolicy", "networkConfig.podRange", "networkConfig.subnetwork"),
        *(
            f"nodeConfig.{name}"
            for name in (
                *("spot", "preemptible", "serviceAccount", "oauthScopes", "metadata"),
                *("minCpuPlatform", "shieldedInstanceConfig", "guestAccelerators"),
                *("advancedMachineFeatures", "bootDiskKmsKey", "localSsdCount"),
            )
        ),
    ),
}
"""What Google cannot change: ForceNew in the provider's schema."""


def changes(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """The paths of the values that differ, such as nodeConfig.spot or ranges[0].name."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if not key.startswith("__"):
                below = f"{path}.{key}" if path else key
                yield from changes(old.get(key), new.get(key), below)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from changes(before, after, f"{path}[{number}]")
    elif old != new:
        yield path


def replaces(kind: str, path: str) -> bool:
    return any(path == key or path.startswith((f"{key}.", f"{key}[")) for key in REPLACING[kind])
