"""The GKE cluster: private nodes, VPC-native, workload identity, no default node pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import container

from infra.gke.kubeconfig import kubeconfig, kubeconfig_command
from infra.gke.network import POD_RANGE_NAME, SERVICE_RANGE_NAME

OAUTH_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
"""IAM roles restrict access, not scopes, as Google recommends."""
_MAX_PODS_PER_NODE = 64
_LABELS = {"app": "diffusion-serving"}


@dataclass(frozen=True)
class ClusterArgs:
    """location: a zone, or a region for a control plane and nodes in several zones.

    zones: of a regional cluster's nodes; least_version: of Kubernetes, where something needs one;
    node_service_account: for the default node pool, which GKE
    creates before it is removed.
    """

    project: str
    location: pulumi.Input[str]
    zones: Sequence[str]
    least_version: str | None
    network_id: pulumi.Input[str]
    subnetwork_id: pulumi.Input[str]
    node_service_account: pulumi.Input[str]
    protected: bool
    after: Sequence[pulumi.Resource]


class Cluster(pulumi.ComponentResource):
    """A cluster without nodes, reached through its DNS endpoint."""

    resource: container.Cluster
    id: pulumi.Output[str]
    name: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    kubeconfig_command: pulumi.Output[str]

    def __init__(
        self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:Cluster", name, {}, opts)
        self.resource = container.Cluster(
            name,
            _cluster(args),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protected,
                depends_on=list(args.after),
                # The removed default pool's settings would force a replacement at every update.
                ignore_changes=["nodeConfig", "initialNodeCount"],
                # Two clusters cannot share secondary ranges.
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(create="40m", update="60m", delete="40m"),
            ),
        )
        self.id = self.resource.id
        self.name = self.resource.name
        endpoint = self.resource.control_plane_endpoints_config.dns_endpoint_config.endpoint
        self.kubeconfig = pulumi.Output.all(self.name, endpoint).apply(
            lambda found: kubeconfig(found[0], found[1])
        )
        self.kubeconfig_command = pulumi.Output.all(self.name, args.location).apply(
            lambda found: kubeconfig_command(found[0], found[1], args.project)
        )
        self.register_outputs({"name": self.name, "kubeconfigCommand": self.kubeconfig_command})


def _cluster(args: ClusterArgs) -> container.ClusterArgs:
    return container.ClusterArgs(
        location=args.location,
        node_locations=list(args.zones) or None,
        network=args.network_id,
        subnetwork=args.subnetwork_id,
        networking_mode="VPC_NATIVE",
        ip_allocation_policy=container.ClusterIpAllocationPolicyArgs(
            cluster_secondary_range_name=POD_RANGE_NAME,
            services_secondary_range_name=SERVICE_RANGE_NAME,
        ),
        # GKE always creates a default pool. It is removed, and until then it runs as our own
        # service account, not as the project's default one.
        remove_default_node_pool=True,
        initial_node_count=1,
        node_config=container.ClusterNodeConfigArgs(
            service_account=args.node_service_account,
            oauth_scopes=list(OAUTH_SCOPES),
            machine_type="e2-medium",
            disk_type="pd-standard",
            disk_size_gb=20,
        ),
        workload_identity_config=container.ClusterWorkloadIdentityConfigArgs(
            workload_pool=f"{args.project}.svc.id.goog"
        ),
        min_master_version=args.least_version,
        release_channel=container.ClusterReleaseChannelArgs(channel="REGULAR"),
        # Dataplane V2, which enforces network policies.
        datapath_provider="ADVANCED_DATAPATH",
        default_max_pods_per_node=_MAX_PODS_PER_NODE,
        # Whether there is a Gateway or not: without it, the kinds of those that exist would go.
        gateway_api_config=container.ClusterGatewayApiConfigArgs(channel="CHANNEL_STANDARD"),
        private_cluster_config=container.ClusterPrivateClusterConfigArgs(enable_private_nodes=True),
        control_plane_endpoints_config=_endpoints(),
        addons_config=_addons(),
        monitoring_config=_monitoring(),
        logging_config=container.ClusterLoggingConfigArgs(
            enable_components=["SYSTEM_COMPONENTS", "WORKLOADS"]
        ),
        cluster_autoscaling=container.ClusterClusterAutoscalingArgs(
            enabled=False, autoscaling_profile="OPTIMIZE_UTILIZATION"
        ),
        cost_management_config=container.ClusterCostManagementConfigArgs(enabled=True),
        maintenance_policy=_maintenance(),
        node_pool_defaults=container.ClusterNodePoolDefaultsArgs(
            node_config_defaults=container.ClusterNodePoolDefaultsNodeConfigDefaultsArgs(
                insecure_kubelet_readonly_port_enabled="FALSE"
            )
        ),
        deletion_protection=args.protected,
        resource_labels=_LABELS,
    )


def _endpoints() -> container.ClusterControlPlaneEndpointsConfigArgs:
    """Only the DNS endpoint: reachable from anywhere, by callers with the IAM permission."""
    return container.ClusterControlPlaneEndpointsConfigArgs(
        dns_endpoint_config=container.ClusterControlPlaneEndpointsConfigDnsEndpointConfigArgs(
            allow_external_traffic=True
        ),
        ip_endpoints_config=container.ClusterControlPlaneEndpointsConfigIpEndpointsConfigArgs(
            enabled=False
        ),
    )


def _addons() -> container.ClusterAddonsConfigArgs:
    return container.ClusterAddonsConfigArgs(
        gcs_fuse_csi_driver_config=container.ClusterAddonsConfigGcsFuseCsiDriverConfigArgs(
            enabled=True
        ),
        dns_cache_config=container.ClusterAddonsConfigDnsCacheConfigArgs(enabled=True),
        horizontal_pod_autoscaling=container.ClusterAddonsConfigHorizontalPodAutoscalingArgs(
            disabled=False
        ),
        http_load_balancing=container.ClusterAddonsConfigHttpLoadBalancingArgs(disabled=False),
    )


def _monitoring() -> container.ClusterMonitoringConfigArgs:
    return container.ClusterMonitoringConfigArgs(
        enable_components=["SYSTEM_COMPONENTS", "POD", "DEPLOYMENT", "HPA", "CADVISOR", "KUBELET"],
        managed_prometheus=container.ClusterMonitoringConfigManagedPrometheusArgs(enabled=True),
    )


def _maintenance() -> container.ClusterMaintenancePolicyArgs:
    return container.ClusterMaintenancePolicyArgs(
        recurring_window=container.ClusterMaintenancePolicyRecurringWindowArgs(
            start_time="2026-01-03T02:00:00Z",
            end_time="2026-01-03T08:00:00Z",
            recurrence="FREQ=WEEKLY;BYDAY=SA,SU",
        )
    )
