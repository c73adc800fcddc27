"""Whether Google Cloud's quotas let the node pool grow to its maximum size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from client.doctor.finding import Finding, State
from client.stacks.tools import at, list_at, number_at, text_at

_MACHINE = re.compile(r"(?P<family>[a-z]+[0-9]+[a-z]?)-[a-z]+-(?P<vcpus>[0-9]+)")
_SSD_DISKS = ("pd-balanced", "pd-ssd")


@dataclass(frozen=True)
class _Growth:
    """What a pool needs to grow from its current nodes to its maximum."""

    nodes: int
    family: str
    vcpus: int
    spot: bool
    disk_gib: int


def quota_findings(
    pools: list[object], region: object, project: object, nodes: int
) -> Iterator[Finding]:
    """A finding for each quota that the pool's growth needs.

    pools, region and project are what `gcloud container node-pools list`, `gcloud compute regions
    describe` and `gcloud compute project-info describe` print; nodes: how many there are.
    """
    growth = _growth(pools[0], nodes) if pools else None
    if growth is None:
        yield Finding(
            "quota",
            State.UNKNOWN,
            "gcloud does not report the node pool's machine type and maximum size",
        )
        return
    if growth.nodes == 0:
        yield Finding("quota", State.OK, "the node pool is at its maximum size")
        return
    regional = _quotas(region)
    cpus = growth.nodes * growth.vcpus
    wanted: list[tuple[dict[str, tuple[float, float]], str, int]] = [
        (regional, _cpu_metric(growth, regional), cpus),
        (_quotas(project), "CPUS_ALL_REGIONS", cpus),
    ]
    if growth.disk_gib:
        wanted.append((regional, "SSD_TOTAL_GB", growth.nodes * growth.disk_gib))
    for quotas, metric, needed in wanted:
        yield _finding(quotas.get(metric), metric, needed)


def _growth(pool: object, nodes: int) -> _Growth | None:
    machine = _MACHINE.fullmatch(text_at(pool, "config", "machineType"))
    # Google's APIs omit values that are zero or false.
    most = number_at(pool, "autoscaling", "totalMaxNodeCount")
    if machine is None or most is None:
        return None
    on_ssd = text_at(pool, "config", "diskType") in _SSD_DISKS
    return _Growth(
        nodes=max(0, int(most) - nodes),
        family=machine["family"].upper(),
        vcpus=int(machine["vcpus"]),
        spot=at(pool, "config", "spot") is True,
        disk_gib=int(number_at(pool, "config", "diskSizeGb") or 0) if on_ssd else 0,
    )


def _cpu_metric(growth: _Growth, quotas: dict[str, tuple[float, float]]) -> str:
    """Spot machines count against the quota of preemptible CPUs if the project has one."""
    limit, _ = quotas.get("PREEMPTIBLE_CPUS", (0.0, 0.0))
    return "PREEMPTIBLE_CPUS" if growth.spot and limit > 0 else f"{growth.family}_CPUS"


def _quotas(document: object) -> dict[str, tuple[float, float]]:
    """Limit and usage by metric."""
    return {
        text_at(entry, "metric"): (
            number_at(entry, "limit") or 0.0,
            number_at(entry, "usage") or 0.0,
        )
        for entry in list_at(document, "quotas")
    }


def _finding(quota: tuple[float, float] | None, metric: str, needed: int) -> Finding:
    if quota is None:
        return Finding(
            "quota",
            State.UNKNOWN,
            f"gcloud lists no quota {metric}: check that {needed} are free in the console "
            "(IAM & Admin, Quotas)",
        )
    limit, usage = quota
    use = f"{metric}: {usage:g} of {limit:g} used, {needed} more needed to reach maxNodes"
    if limit - usage < needed:
        return Finding(
            "quota",
            State.WRONG,
            f"{use}: request more in the console (IAM & Admin, Quotas), or lower maxNodes",
        )
    return Finding("quota", State.OK, use)
