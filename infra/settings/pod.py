"""The settings of a pod on GKE: what it requests of its node, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from infra.settings.machines import MachineType, Room
from infra.settings.values import SettingsError, integer
from infra.settings.web import WEB_CONTAINER

ModelAccess = Literal["gs", "fuse"]

KEYS = frozenset(
    {"minReplicas", "maxReplicas", "cpuTargetPercent", "cpuRequest", "memoryRequestGib"}
)

FUSE_SIDECAR = Room(millicpu=100, memory_mib=256)
"""Resource requests of a pod's GCS FUSE sidecar, set by annotations."""
QUEUE_PROXY = Room(millicpu=20, memory_mib=64)
"""Resource requests of the container that Knative adds to a pod, set in its configuration."""

_REPLICAS = range(1, 1001)
_REPLICAS_OR_NONE = range(0, 1001)
_PERCENT = range(10, 96)
_REQUEST = range(0, 1025)
"""0 requests everything the machine type leaves for a pod."""


@dataclass(frozen=True)
class PodSettings:
    """A pod's requests in CPUs (the model server's) and GiB, and its replicas.

    per_node: pods per node.
    """

    cpu: int
    memory_gib: int
    min_replicas: int
    max_replicas: int
    cpu_target_percent: int
    per_node: int

    @property
    def model_server_mib(self) -> int:
        return self.memory_gib * 1024 - WEB_CONTAINER.memory_mib


def parse(
    values: Mapping[str, str],
    machine: MachineType,
    max_nodes: int,
    access: ModelAccess,
    *,
    knative: bool,
) -> PodSettings:
    """The settings from configuration values. Raises SettingsError for the first invalid one.

    knative: whether Knative runs the pods; then there may be none.
    """
    room = machine.room()
    beside = [*([FUSE_SIDECAR] if access == "fuse" else []), *([QUEUE_PROXY] if knative else [])]
    millicpu_beside = WEB_CONTAINER.millicpu + sum(one.millicpu for one in beside)
    memory_beside = sum(one.memory_mib for one in beside)
    most_cpu = (room.millicpu - millicpu_beside) // 1000
    most_memory = (room.memory_mib - memory_beside) // 1024
    cpu = _fitting(values, "cpuRequest", most_cpu, "CPUs", machine)
    memory = _fitting(values, "memoryRequestGib", most_memory, "GiB", machine)
    per_node = min(
        room.millicpu // (cpu * 1000 + millicpu_beside),
        room.memory_mib // (memory * 1024 + memory_beside),
    )
    most_pods = per_node * max_nodes
    lowest = integer(values, "minReplicas", _REPLICAS_OR_NONE if knative else _REPLICAS, "1")
    highest = integer(
        values, "maxReplicas", range(max(lowest, 1), _REPLICAS.stop), str(max(lowest, 1))
    )
    if highest > most_pods:
        key = "minReplicas" if lowest > most_pods else "maxReplicas"
        raise SettingsError(
            key,
            f"{highest} pods of {cpu} CPUs and {memory} GiB do not fit on {max_nodes} x "
            f"{machine.name} (maxNodes), which hold {most_pods} (estimate)",
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
