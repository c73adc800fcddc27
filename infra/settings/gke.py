"""The settings of a stack on GKE, validated, also against each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from infra.settings import access
from infra.settings.access import AccessSettings
from infra.settings.machines import MACHINE_TYPES, MachineType, Room
from infra.settings.values import SettingsError, boolean, choice, integer, required

NAMESPACE = "diffusion-serving"
SERVICE_ACCOUNT = "model-server"
"""Of the pods. Both names appear in IAM and in Kubernetes."""
READER_ROLE = "roles/storage.objectViewer"
"""Of the pods, on the bucket with the model."""
POOL_LABEL = "diffusion-serving/pool"
"""Of nodes, and the key of their taints: which pool they belong to."""
SERVING_POOL = "serving"
SYSTEM_POOL = "system"

ModelAccess = Literal["gs", "fuse"]

KEYS = access.KEYS | frozenset(
    {
        "location",
        "zones",
        "machineType",
        "nodeDiskGib",
        "spot",
        "minNodes",
        "maxNodes",
        "minReplicas",
        "maxReplicas",
        "cpuTargetPercent",
        "cpuRequest",
        "memoryRequestGib",
        "imageDigest",
        "modelAccess",
        "deletionProtection",
    }
)

FUSE_SIDECAR = Room(millicpu=100, memory_mib=256)
"""Resource requests of a pod's GCS FUSE sidecar, set by annotations."""

_PROJECT = re.compile(r"([a-z0-9.-]+\.[a-z]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_LOCATION = re.compile(r"(?P<region>[a-z]+-[a-z]+[0-9]+)(-[a-z])?")
_ZONE = re.compile(r"[a-z]+-[a-z]+[0-9]+-[a-z]")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MIN_NODES = range(0, 101)
_NODES = range(1, 101)
_REPLICAS = range(1, 1001)
_DISK_GIB = range(30, 2001)
_PERCENT = range(10, 96)
_REQUEST = range(0, 1025)
"""0 requests everything the machine type leaves for a pod."""


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
class PodSettings:
    """The model server's requests in CPUs and GiB, and its replicas. per_node: pods per node."""

    cpu: int
    memory_gib: int
    min_replicas: int
    max_replicas: int
    cpu_target_percent: int
    per_node: int


@dataclass(frozen=True)
class GkeSettings:
    """The settings of a stack on GKE. image_digest is empty to pin the image by its tag alone."""

    project: str
    location: str
    region: str
    deletion_protection: bool
    nodes: NodePoolSettings
    pod: PodSettings
    access: AccessSettings
    image_digest: str
    model_access: ModelAccess

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
    model_access = cast(ModelAccess, choice(values, "modelAccess", ("gs", "fuse")))
    return GkeSettings(
        project=_project(project),
        location=location,
        region=matched["region"],
        deletion_protection=boolean(values, "deletionProtection"),
        nodes=nodes,
        pod=_pod(values, nodes, model_access),
        access=access.parse(values),
        image_digest=_image_digest(values),
        model_access=model_access,
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


def _pod(values: Mapping[str, str], nodes: NodePoolSettings, access: ModelAccess) -> PodSettings:
    room = nodes.machine.room()
    sidecar = FUSE_SIDECAR if access == "fuse" else Room(0, 0)
    most_cpu = (room.millicpu - sidecar.millicpu) // 1000
    most_memory = (room.memory_mib - sidecar.memory_mib) // 1024
    cpu = _fitting(values, "cpuRequest", most_cpu, "CPUs", nodes.machine)
    memory = _fitting(values, "memoryRequestGib", most_memory, "GiB", nodes.machine)
    per_node = min(
        room.millicpu // (cpu * 1000 + sidecar.millicpu),
        room.memory_mib // (memory * 1024 + sidecar.memory_mib),
    )
    most_pods = per_node * nodes.max_nodes
    lowest = integer(values, "minReplicas", _REPLICAS, "1")
    highest = integer(values, "maxReplicas", range(lowest, _REPLICAS.stop), str(lowest))
    if highest > most_pods:
        key = "minReplicas" if lowest > most_pods else "maxReplicas"
        raise SettingsError(
            key,
            f"{highest} pods of {cpu} CPUs and {memory} GiB do not fit on {nodes.max_nodes} x "
            f"{nodes.machine.name} (maxNodes), which hold {most_pods} (estimate)",
            str(most_pods),
        )
    return PodSettings(
        cpu=cpu,
        memory_gib=memory,
        min_replicas=lowest,
        max_replicas=highest,
        cpu_target_percent=integer(values, "cpuTargetPercent", _PERCENT, "60"),
        per_node=per_node,
    )


def _fitting(
    values: Mapping[str, str], key: str, most: int, unit: str, machine: MachineType
) -> int:
    asked = integer(values, key, _REQUEST, "0")
    if asked > most:
        raise SettingsError(
            key,
            f"{asked} {unit} do not fit on {machine.name}, which leaves {most} for a pod "
            "(estimate); 0 requests all of that",
            str(most),
        )
    return asked or most


def _image_digest(values: Mapping[str, str]) -> str:
    digest = required(values, "imageDigest", '""')
    if digest and not _DIGEST.fullmatch(digest):
        raise SettingsError(
            "imageDigest", f"must be empty or sha256: and 64 hex digits, not {digest!r}", '""'
        )
    return digest
