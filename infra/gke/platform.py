"""All Google Cloud resources of the service."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from infra.gke.address import StaticAddress, StaticAddressArgs
from infra.gke.apis import Apis, ApisArgs
from infra.gke.bucket import ModelBucket, ModelBucketArgs
from infra.gke.cluster import Cluster, ClusterArgs
from infra.gke.identity import ModelReader, ModelReaderArgs, NodeIdentity, NodeIdentityArgs
from infra.gke.network import Network, NetworkArgs
from infra.gke.patience import patient
from infra.gke.placement import Placement
from infra.gke.pools import NodePools, NodePoolsArgs
from infra.settings.access import EPHEMERAL, STATIC
from infra.settings.gke import NAMESPACE, SERVICE_ACCOUNT, GkeSettings


@dataclass(frozen=True)
class PlatformArgs:
    """replace_seconds: the longest time in which a drained pod ends and its successor serves."""

    settings: GkeSettings
    replace_seconds: int


class Platform(pulumi.ComponentResource):
    """A cluster with nodes, a bucket that its pods can read, and a Kubernetes provider."""

    bucket: ModelBucket
    cluster: Cluster
    reader: ModelReader
    address: pulumi.Output[str] | None
    """The load balancer's, if it has one of its own."""
    kubernetes: kubernetes.Provider
    """Deleted before the nodes, so that its resources are deleted while the cluster works."""

    def __init__(
        self, name: str, args: PlatformArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        waits = pulumi.ResourceOptions(transformations=patient())
        opts = pulumi.ResourceOptions.merge(opts, waits)
        super().__init__("diffusion:infra:Platform", name, {}, opts)
        settings = args.settings
        project = settings.project
        child = pulumi.ResourceOptions(parent=self)
        placement = Placement(name, project, settings.location, settings.region, child)
        after = [Apis(name, ApisArgs(project=placement.project), child)]
        network = Network(name, NetworkArgs(region=placement.region, after=after), child)
        self.bucket = ModelBucket(
            f"{name}-models",
            ModelBucketArgs(
                region=placement.region, protected=settings.deletion_protection, after=after
            ),
            child,
        )
        identity = NodeIdentity(
            f"{name}-nodes", NodeIdentityArgs(project=project, after=after), child
        )
        self.cluster = Cluster(
            name,
            ClusterArgs(
                project=project,
                location=placement.location,
                zones=settings.nodes.zones,
                network_id=network.network_id,
                subnetwork_id=network.subnetwork_id,
                node_service_account=identity.email,
                protected=settings.deletion_protection,
                after=after,
            ),
            child,
        )
        pools = NodePools(
            name,
            NodePoolsArgs(
                cluster=self.cluster.resource,
                cluster_id=self.cluster.id,
                service_account=identity.email,
                nodes=settings.nodes,
                surge=settings.has_surge_room,
                replace_seconds=args.replace_seconds,
                most_pods=settings.pod.max_replicas,
                after=[identity, network.nat],
            ),
            child,
        )
        self.reader = ModelReader(
            f"{name}-model-reader",
            ModelReaderArgs(
                project=project,
                project_number=self.bucket.project_number,
                bucket=self.bucket.name,
                namespace=NAMESPACE,
                service_account=SERVICE_ACCOUNT,
                after=[*after, self.cluster.resource],
            ),
            child,
        )
        self.address = _address(
            name, settings, placement.region, network.subnetwork_id, after, child
        )
        self.kubernetes = _provider(name, self.cluster, pools, child)
        self.register_outputs({})


def _address(
    name: str,
    settings: GkeSettings,
    region: pulumi.Input[str],
    subnetwork_id: pulumi.Input[str],
    after: list[Apis],
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str] | None:
    if settings.access.address == EPHEMERAL:
        return None
    args = StaticAddressArgs(
        project=settings.project,
        region=region,
        owned="" if settings.access.address == STATIC else settings.access.address,
        subnetwork_id=subnetwork_id if settings.access.internal else None,
        after=after,
    )
    return StaticAddress(f"{name}-address", args, opts).ip


def _provider(
    name: str, cluster: Cluster, pools: NodePools, opts: pulumi.ResourceOptions
) -> kubernetes.Provider:
    return kubernetes.Provider(
        name,
        kubeconfig=cluster.kubeconfig,
        # Without it, a changed kubeconfig would replace the provider and all its resources.
        cluster_identifier=cluster.id,
        enable_server_side_apply=True,
        # A killed update leaves objects that no state knows. Their names are fixed, so that the
        # next one finds and adopts them. It has another field manager, which may change a setting
        # of theirs only by force.
        upsert_existing_objects=True,
        enable_patch_force=True,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[pools])),
    )
