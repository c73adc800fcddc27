"""The settings of a stack on GKE, validated, also against each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from infra.settings import access, keys, knative, monitoring, pod, web
from infra.settings.access import AccessSettings
from infra.settings.keys import ApiKey
from infra.settings.knative import KnativeSettings
from infra.settings.machines import (
    KNATIVE_SYSTEM_MACHINE,
    MACHINE_TYPES,
    SYSTEM_MACHINE,
    MachineType,
)
from infra.settings.monitoring import MonitoringSettings
from infra.settings.pod import ModelAccess, PodSettings
from infra.settings.values import SettingsError, boolean, choice, integer, required
from infra.settings.web import WebSettings

NAMESPACE = "diffusion-serving"
SERVICE_ACCOUNT = "model-server"
"""Of the pods. Both names appear in IAM and in Kubernetes."""
READER_ROLE = "roles/storage.objectViewer"
"""Of the pods, on the bucket with the model."""
POOL_LABEL = "diffusion-serving/pool"
"""Of nodes, and the key of their taints: which pool they belong to."""
SERVING_POOL = "serving"
SYSTEM_POOL = "system"

KEYS = (access.KEYS | keys.KEYS | knative.KEYS | monitoring.KEYS | pod.KEYS | web.KEYS) | frozenset(
    {
        "location",
        "zones",
        "machineType",
        "nodeDiskGib",
        "spot",
        "minNodes",
        "maxNodes",
        "imageDigest",
        "modelAccess",
        "deletionProtection",
    }
)

_PROJECT = re.compile(r"([a-z0-9.-]+\.[a-z]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_LOCATION = re.compile(r"(?P<region>[a-z]+-[a-z]+[0-9]+)(-[a-z])?")
_ZONE = re.compile(r"[a-z]+-[a-z]+[0-9]+-[a-z]")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MIN_NODES = range(0, 101)
_NODES = range(1, 101)
_DISK_GIB = range(30, 2001)


@dataclass(frozen=True)
class NodePoolSettings:
    """A node pool. The limits are over all zones; no zones means the zone of the cluster."""

    machine: MachineType
    disk_gib: int
    spot: bool
    min_nodes: int
    max_nodes: int
    zones: tuple[str, ...]


@dataclass(frozen=True)
class GkeSettings:
    """The settings of a stack on GKE. image_digest is empty to pin the image by its tag alone.

    knative: None where a Deployment runs the pods; front_key: empty there.
    """

    project: str
    location: str
    region: str
    deletion_protection: bool
    nodes: NodePoolSettings
    pod: PodSettings
    access: AccessSettings
    image_digest: str
    model_access: ModelAccess
    web: WebSettings
    keys: tuple[ApiKey, ...]
    monitoring: MonitoringSettings
    front_key: str = field(repr=False)
    knative: KnativeSettings | None

    @property
    def system_machine(self) -> MachineType | None:
        """Of the system pool; None without one."""
        if self.knative is not None:
            return KNATIVE_SYSTEM_MACHINE
        return SYSTEM_MACHINE if self.nodes.min_nodes == 0 else None

    @property
    def has_surge_room(self) -> bool:
        """Whether the nodes, at their maximum, fit one pod more than the most replicas."""
        return self.pod.per_node * self.nodes.max_nodes > self.pod.max_replicas


def parse(values: Mapping[str, str], project: str | None) -> GkeSettings:
    """Settings from configuration values. Raises SettingsError for the first invalid one."""
    location = required(values, "location", "us-central1-c")
    matched = _LOCATION.fullmatch(location)
    if matched is None:
        raise SettingsError(
            "location",
            f"must be a zone like us-central1-c or a region like us-central1, not {location!r}",
            "us-central1-c",
        )
    nodes = _nodes(values, location)
    serverless = knative.parse(values)
    model_access = cast(ModelAccess, choice(values, "modelAccess", ("gs", "fuse")))
    return GkeSettings(
        project=_project(project),
        location=location,
        region=matched["region"],
        deletion_protection=boolean(values, "deletionProtection"),
        nodes=nodes,
        pod=pod.parse(
            values, nodes.machine, nodes.max_nodes, model_access, knative=serverless is not None
        ),
        access=access.parse(values),
        image_digest=_image_digest(values),
        model_access=model_access,
        web=web.parse(values),
        keys=keys.parse(values, has_front=serverless is not None),
        front_key=keys.front_key(values) if serverless is not None else "",
        knative=serverless,
        monitoring=monitoring.parse(values),
    )


def _project(project: str | None) -> str:
    if project is None:
        raise SettingsError("gcp:project", "is missing", "YOUR_PROJECT_ID")
    if not _PROJECT.fullmatch(project):
        raise SettingsError(
            "gcp:project", f"{project!r} is not a valid project ID", "YOUR_PROJECT_ID"
        )
    return project


def _nodes(values: Mapping[str, str], location: str) -> NodePoolSettings:
    zones = _zones(values, location)
    lowest = integer(values, "minNodes", _MIN_NODES, "1")
    if lowest % max(1, len(zones)):
        raise SettingsError(
            "minNodes",
            f"must be a multiple of the number of zones ({len(zones)}), since each zone starts "
            f"with the same number of nodes, not {lowest}",
            str(len(zones)),
        )
    return NodePoolSettings(
        machine=MACHINE_TYPES[choice(values, "machineType", tuple(MACHINE_TYPES))],
        disk_gib=integer(values, "nodeDiskGib", _DISK_GIB, "100"),
        spot=boolean(values, "spot"),
        min_nodes=lowest,
        max_nodes=integer(values, "maxNodes", range(max(lowest, 1), _NODES.stop), "2"),
        zones=zones,
    )


def _zones(values: Mapping[str, str], location: str) -> tuple[str, ...]:
    """The nodes' zones, in a regional cluster; a zonal one has its own zone."""
    key = "zones"
    names = required(values, key, '""').replace(",", " ").split()
    is_zone = _ZONE.fullmatch(location) is not None
    if is_zone and names:
        raise SettingsError(key, f"must be empty, since location is the zone {location}", '""')
    example = f"{location}-a,{location}-b"
    if not is_zone and not names:
        raise SettingsError(
            key,
            f"is empty: list the zones of {location} that have the machine type, comma-separated "
            "(`gcloud compute machine-types list --filter=name=MACHINE_TYPE` shows them)",
            example,
        )
    for name in names:
        if _ZONE.fullmatch(name) is None or name.rpartition("-")[0] != location:
            raise SettingsError(key, f"{name!r} is not a zone of {location}", example)
    return tuple(dict.fromkeys(names))


def _image_digest(values: Mapping[str, str]) -> str:
    digest = required(values, "imageDigest", '""')
    if digest and not _DIGEST.fullmatch(digest):
        raise SettingsError(
            "imageDigest", f"must be empty or sha256: and 64 hex digits, not {digest!r}", '""'
        )
    return digest
