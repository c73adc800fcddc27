"""CPU and memory that a GKE node of each machine type leaves for model servers: estimates.

Shapes: Compute Engine, "General-purpose machine family" (cloud.google.com/compute/docs/
general-purpose-machines). Reservations: GKE, "Plan node sizes" (cloud.google.com/kubernetes-engine/
docs/concepts/plan-node-sizes). The kernel's share and the requests of GKE's own pods are not
published: those two are rounded up from clusters with the same add-ons. `kubectl describe node`
shows a node's actual numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_KERNEL_SHARE = 0.023
"""Of the machine's memory: n2-standard-4 has 16 GiB, and Linux reports about 15.6."""
_EVICTION_GIB = 100 / 1024
_MEMORY_RESERVED = ((4.0, 0.25), (4.0, 0.20), (8.0, 0.10), (112.0, 0.06), (math.inf, 0.02))
"""Tiers: (GiB, reserved share)."""
_CPU_RESERVED = ((1.0, 0.06), (1.0, 0.01), (2.0, 0.005), (math.inf, 0.0025))
"""Tiers: (vCPUs, reserved share)."""

SYSTEM_PODS_MILLICPU = 750
SYSTEM_PODS_MEMORY_MIB = 920
"""Requests of GKE's own pods (network, DNS, logging, metrics) if all run on one node."""


@dataclass(frozen=True)
class Room:
    """What pods can request on a node: CPU in thousandths, memory in MiB."""

    millicpu: int
    memory_mib: int


@dataclass(frozen=True)
class MachineType:
    """A Compute Engine machine type."""

    name: str
    vcpus: int
    memory_gib: int

    def allocatable(self) -> Room:
        """What GKE leaves for all pods on a node."""
        reserved = _tiers(self.memory_gib, _MEMORY_RESERVED)
        memory = self.memory_gib * (1 - _KERNEL_SHARE) - reserved - _EVICTION_GIB
        cpu = self.vcpus - _tiers(self.vcpus, _CPU_RESERVED)
        return Room(math.floor(cpu * 1000 + 1e-6), math.floor(memory * 1024))

    def room(self) -> Room:
        """What GKE's own pods leave."""
        whole = self.allocatable()
        return Room(
            whole.millicpu - SYSTEM_PODS_MILLICPU, whole.memory_mib - SYSTEM_PODS_MEMORY_MIB
        )


def _tiers(amount: float, tiers: tuple[tuple[float, float], ...]) -> float:
    total = 0.0
    for width, share in tiers:
        part = min(amount, width)
        total += part * share
        amount -= part
    return total


_TYPES = (
    # Cascade Lake or Ice Lake: AVX-512 VNNI, so oneDNN is on by default.
    *(MachineType(f"n2-standard-{n}", n, 4 * n) for n in (4, 8, 16, 32)),
    *(MachineType(f"n2-highmem-{n}", n, 8 * n) for n in (4, 8, 16)),
    # Sapphire Rapids: AMX, which makes bfloat16 fast.
    *(MachineType(f"c3-standard-{n}", n, 4 * n) for n in (4, 8, 22)),
    *(MachineType(f"c3-highmem-{n}", n, 8 * n) for n in (4, 8, 22)),
)
MACHINE_TYPES = {machine.name: machine for machine in _TYPES}

SYSTEM_MACHINE = MachineType("e2-standard-2", 2, 8)
"""Of the system pool, which only GKE's own pods need."""
KNATIVE_SYSTEM_MACHINE = MachineType("e2-standard-4", 4, 16)
"""Of the system pool with Knative, whose own pods request 1.4 CPUs, and the front."""
