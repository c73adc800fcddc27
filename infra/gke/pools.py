"""The autoscaled node pools, replaced without an outage.

`serving` has the machines that draw. `system` has small ones for all other pods, where `serving`
can shrink to no node.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pulumi
from pulumi_gcp import container

from infra.gke.cluster import OAUTH_SCOPES
from infra.settings.gke import POOL_LABEL, SERVING_POOL, SYSTEM_POOL, NodePoolSettings
from infra.settings.machines import MachineType

_SYSTEM_DISK_GIB = 50
_LONGEST_PDB_TIMEOUT_SECONDS = 3600
"""GKE's own limit for a node ("Manage node pools")."""
_OPERATION_MINUTES = 40
_LONGEST_DRAIN_MINUTES = 24 * 60


@dataclass(frozen=True)
class NodePoolsArgs:
    """cluster: whose ID the pools get, and with which they are deleted.

    surge: whether an upgrade may add a node beyond the maximum. replace_seconds: the longest time
    for a drained pod to finish its requests and for its replacement to serve. most_pods: the
    autoscaler's maximum. system_machine: of the system pool; None without one. after: a node's
    permissions, and NAT to pull images.
    """

    cluster: pulumi.Resource
    cluster_id: pulumi.Input[str]
    service_account: pulumi.Input[str]
    nodes: NodePoolSettings
    surge: bool
    replace_seconds: int
    most_pods: int
    system_machine: MachineType | None
    after: Sequence[pulumi.Resource]


class NodePools(pulumi.ComponentResource):
    """Pools of shielded, private nodes.

    They have auto-generated names, so that a replacement is created before the old one is deleted.
    """

    def __init__(
        self, name: str, args: NodePoolsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:NodePools", name, {}, opts)
        system = args.system_machine
        self._pool(f"{name}-{SERVING_POOL}", args, SERVING_POOL, reserved=system is not None)
        if system is not None:
            self._pool(f"{name}-{SYSTEM_POOL}", _system(args, system), SYSTEM_POOL, reserved=False)
        self.register_outputs({})

    def _pool(self, name: str, args: NodePoolsArgs, role: str, *, reserved: bool) -> None:
        container.NodePool(
            name,
            node_pool(args, role, reserved=reserved),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                deleted_with=args.cluster,
                # The autoscaler owns the number of nodes.
                ignore_changes=["initialNodeCount", "nodeCount"],
                custom_timeouts=pulumi.CustomTimeouts(
                    create=f"{_OPERATION_MINUTES}m",
                    update=_drain_timeout(args),
                    delete=_drain_timeout(args),
                ),
            ),
        )


def node_pool(args: NodePoolsArgs, role: str, *, reserved: bool) -> container.NodePoolArgs:
    """A pool whose nodes are labelled with `role`; `reserved` keeps other pods away from them."""
    nodes = args.nodes
    return container.NodePoolArgs(
        cluster=args.cluster_id,
        node_locations=list(nodes.zones) or None,
        # In each zone.
        initial_node_count=nodes.min_nodes // max(1, len(nodes.zones)),
        autoscaling=container.NodePoolAutoscalingArgs(
            total_min_node_count=nodes.min_nodes,
            total_max_node_count=nodes.max_nodes,
            location_policy="ANY" if nodes.spot else "BALANCED",
        ),
        management=container.NodePoolManagementArgs(auto_repair=True, auto_upgrade=True),
        upgrade_settings=container.NodePoolUpgradeSettingsArgs(
            strategy="SURGE",
            max_surge=1 if args.surge else 0,
            max_unavailable=0 if args.surge else 1,
        ),
        node_drain_configs=[
            container.NodePoolNodeDrainConfigArgs(
                respect_pdb_during_node_pool_deletion=True,
                pdb_timeout_duration=f"{_pdb_timeout_seconds(args)}s",
            )
        ],
        network_config=container.NodePoolNetworkConfigArgs(enable_private_nodes=True),
        node_config=container.NodePoolNodeConfigArgs(
            machine_type=nodes.machine.name,
            spot=nodes.spot,
            disk_type="pd-balanced",
            disk_size_gb=nodes.disk_gib,
            image_type="COS_CONTAINERD",
            service_account=args.service_account,
            oauth_scopes=list(OAUTH_SCOPES),
            labels={POOL_LABEL: role},
            taints=[
                container.NodePoolNodeConfigTaintArgs(
                    key=POOL_LABEL, value=role, effect="NO_SCHEDULE"
                )
            ]
            if reserved
            else None,
            workload_metadata_config=container.NodePoolNodeConfigWorkloadMetadataConfigArgs(
                mode="GKE_METADATA"
            ),
            shielded_instance_config=container.NodePoolNodeConfigShieldedInstanceConfigArgs(
                enable_secure_boot=True, enable_integrity_monitoring=True
            ),
            gvnic=container.NodePoolNodeConfigGvnicArgs(enabled=True),
            metadata={"disable-legacy-endpoints": "true"},
            resource_labels={"app": "diffusion-serving"},
        ),
    )


def _system(args: NodePoolsArgs, machine: MachineType) -> NodePoolsArgs:
    """One small node that is not spot, in one zone, and a second one while it is replaced."""
    nodes = NodePoolSettings(
        machine=machine,
        disk_gib=_SYSTEM_DISK_GIB,
        spot=False,
        min_nodes=1,
        max_nodes=2,
        zones=args.nodes.zones[:1],
    )
    return replace(args, nodes=nodes, surge=True)


def _pdb_timeout_seconds(args: NodePoolsArgs) -> int:
    """How long a node's drain waits for the disruption budget, which frees one pod at a time."""
    return min(args.most_pods * args.replace_seconds, _LONGEST_PDB_TIMEOUT_SECONDS)


def _drain_timeout(args: NodePoolsArgs) -> str:
    """Covers draining all pods one after another, and then deleting the nodes."""
    drain = math.ceil(args.most_pods * args.replace_seconds / 60)
    return f"{_OPERATION_MINUTES + min(drain, _LONGEST_DRAIN_MINUTES)}m"
