"""The autoscaled node pool, replaced without an outage."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_gcp import container

from infra.cluster import OAUTH_SCOPES, Cluster
from infra.gke_settings import NodePoolSettings
from infra.identity import NodeIdentity
from infra.network import Network


@dataclass(frozen=True)
class NodePoolArgs:
    """surge: whether an upgrade may add a node beyond the maximum."""

    cluster: Cluster
    network: Network
    identity: NodeIdentity
    nodes: NodePoolSettings
    surge: bool


class NodePool(pulumi.ComponentResource):
    """An autoscaled pool of shielded, private nodes.

    It has an auto-generated name, so that its replacement is created before it is deleted.
    """

    resource: container.NodePool

    def __init__(
        self, name: str, args: NodePoolArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:NodePool", name, {}, opts)
        nodes = args.nodes
        self.resource = container.NodePool(
            name,
            cluster=args.cluster.resource.id,
            initial_node_count=1,
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
                container.NodePoolNodeDrainConfigArgs(respect_pdb_during_node_pool_deletion=True)
            ],
            network_config=container.NodePoolNetworkConfigArgs(enable_private_nodes=True),
            node_config=container.NodePoolNodeConfigArgs(
                machine_type=nodes.machine.name,
                spot=nodes.spot,
                disk_type="pd-balanced",
                disk_size_gb=nodes.disk_gib,
                image_type="COS_CONTAINERD",
                service_account=args.identity.email,
                oauth_scopes=list(OAUTH_SCOPES),
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
            opts=pulumi.ResourceOptions(
                parent=self,
                # A node needs its role to report metrics, and NAT to pull images.
                depends_on=[args.identity, args.network.nat],
                # The autoscaler owns the number of nodes.
                ignore_changes=["initialNodeCount", "nodeCount"],
                custom_timeouts=pulumi.CustomTimeouts(create="40m", update="60m", delete="40m"),
            ),
        )
        self.register_outputs({})
