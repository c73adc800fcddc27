"""The settings of a stack with target GKE, validated, also against each other."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from infra.machines import MACHINE_TYPES, MachineType, Room
from infra.values import SettingsError, boolean, choice, integer, required

NAMESPACE = "diffusion-serving"
SERVICE_ACCOUNT = "model-server"
"""Of the pods. Both names appear in IAM and in Kubernetes."""

ModelAccess = Literal["gs", "fuse"]

KEYS = frozenset(
    {
        "location",
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
        "allowedSourceRanges",
        "internal",
        "imageDigest",
        "modelAccess",
        "deletionProtection",
    }
)

IMAGE = "tensorflow/serving:2.20.0"
"""The same minor version as the TensorFlow that exports the model."""
PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
WIDEST_PREFIX_BITS = 8
"""No private network is wider than a /8."""
FUSE_SIDECAR = Room(millicpu=100, memory_mib=256)
"""Resource requests of a pod's GCS FUSE sidecar, set by annotations."""

_PROJECT = re.compile(r"([a-z0-9.-]+\.[a-z]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_LOCATION = re.compile(r"(?P<region>[a-z]+-[a-z]+[0-9]+)(-[a-z])?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NODES = range(1, 101)
_REPLICAS = range(1, 1001)
_DISK_GIB = range(30, 2001)
_PERCENT = range(10, 96)
_REQUEST = range(0, 1025)
"""0 requests everything the machine type leaves for a pod."""


@dataclass(frozen=True)
class NodePoolSettings:
    """The node pool."""

    machine: MachineType
    disk_gib: int
    spot: bool
    min_nodes: int
    max_nodes: int


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
    """The settings of a stack on GKE. `source_ranges` are the clients' IPv4 ranges."""

    project: str
    location: str
    region: str
    deletion_protection: bool
    nodes: NodePoolSettings
    pod: PodSettings
    source_ranges: tuple[str, ...]
    internal: bool
    image: str
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
    nodes = _nodes(values)
    access = cast(ModelAccess, choice(values, "modelAccess", ("gs", "fuse")))
    internal = boolean(values, "internal")
    return GkeSettings(
        project=_project(project),
        location=location,
        region=matched["region"],
        deletion_protection=boolean(values, "deletionProtection"),
        nodes=nodes,
        pod=_pod(values, nodes, access),
        source_ranges=_source_ranges(values, internal),
        internal=internal,
        image=_image(values),
        model_access=access,
    )


def _project(project: str | None) -> str:
    if project is None:
        raise SettingsError("gcp:project", "is missing", "YOUR_PROJECT_ID")
    if not _PROJECT.fullmatch(project):
        raise SettingsError(
            "gcp:project", f"{project!r} is not a valid project ID", "YOUR_PROJECT_ID"
        )
    return project


def _nodes(values: Mapping[str, str]) -> NodePoolSettings:
    lowest = integer(values, "minNodes", _NODES, "1")
    return NodePoolSettings(
        machine=MACHINE_TYPES[choice(values, "machineType", tuple(MACHINE_TYPES))],
        disk_gib=integer(values, "nodeDiskGib", _DISK_GIB, "100"),
        spot=boolean(values, "spot"),
        min_nodes=lowest,
        max_nodes=integer(values, "maxNodes", range(lowest, _NODES.stop), str(lowest)),
    )


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


def _source_ranges(values: Mapping[str, str], internal: bool) -> tuple[str, ...]:
    key = "allowedSourceRanges"
    example = "203.0.113.7/32"
    texts = required(values, key, example).replace(",", " ").split()
    if not texts and internal:
        return PRIVATE_RANGES
    if not texts:
        raise SettingsError(
            key,
            "is empty: list who may connect as comma-separated IPv4 ranges (or set internal to "
            "true)",
            example,
        )
    for text in texts:
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            raise SettingsError(key, f"{text!r} is not an address range", example) from None
        if network.version != 4:
            raise SettingsError(key, f"{text} is not IPv4, the load balancer's only kind", example)
        if network.prefixlen < WIDEST_PREFIX_BITS:
            raise SettingsError(
                key,
                f"{text} is too wide: the server has no authentication, so no range may be wider "
                f"than a /{WIDEST_PREFIX_BITS}",
                example,
            )
    return tuple(dict.fromkeys(str(ipaddress.ip_network(text)) for text in texts))


def _image(values: Mapping[str, str]) -> str:
    digest = required(values, "imageDigest", '""')
    if digest and not _DIGEST.fullmatch(digest):
        raise SettingsError(
            "imageDigest", f"must be empty or sha256: and 64 hex digits, not {digest!r}", '""'
        )
    return f"{IMAGE}@{digest}" if digest else IMAGE
