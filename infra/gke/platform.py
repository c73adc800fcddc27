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
from infra.gke.images import ImageRepository, ImageRepositoryArgs
from infra.gke.knative.versions import LEAST_KUBERNETES
from infra.gke.network import Network, NetworkArgs
from infra.gke.patience import patient
from infra.gke.placement import Placement
from infra.gke.pools import NodePools, NodePoolsArgs
from infra.gke.public_frontend import PublicFrontend, PublicFrontendArgs
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
    images: ImageRepository | None
    """None if the web service has a ready image."""
    network: Network
    address: pulumi.Output[str] | None
    """The load balancer's, if it has one of its own."""
    frontend: PublicFrontend | None
    """None without a domain."""
    worker_address: pulumi.Output[str] | None
    """Of the load balancer in front of Knative's workers; None if they have none."""
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
        network = self.network = Network(
            name, NetworkArgs(region=placement.region, after=after), child
        )
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
        self.images = _images(name, settings, placement.region, identity.email, after, child)
        self.cluster = Cluster(
            name,
            ClusterArgs(
                project=project,
                location=placement.location,
                zones=settings.nodes.zones,
                least_version=LEAST_KUBERNETES if settings.knative else None,
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
                system_machine=settings.system_machine,
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
        own = (settings, placement.region, network.subnetwork_id, after, child)
        kind = settings.access.address
        self.address = None if kind == EPHEMERAL else _address(f"{name}-address", kind, *own)
        self.worker_address = None
        if settings.knative and settings.access.plain_http:
            self.worker_address = _address(f"{name}-workers-address", STATIC, *own)
        self.frontend = _frontend(name, settings, after, child)
        self.kubernetes = _provider(name, self.cluster, pools, child)
        self.register_outputs({})


def _images(
    name: str,
    settings: GkeSettings,
    region: pulumi.Input[str],
    node_service_account: pulumi.Input[str],
    after: list[Apis],
    opts: pulumi.ResourceOptions,
) -> ImageRepository | None:
    if settings.web.image:
        return None
    args = ImageRepositoryArgs(
        project=settings.project,
        region=region,
        node_service_account=node_service_account,
        after=after,
    )
    return ImageRepository(f"{name}-images", args, opts)


def _address(
    name: str,
    kind: str,
    settings: GkeSettings,
    region: pulumi.Input[str],
    subnetwork_id: pulumi.Input[str],
    after: list[Apis],
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """kind: `static`, or the name of the user's own."""
    args = StaticAddressArgs(
        project=settings.project,
        region=region,
        owned="" if kind == STATIC else kind,
        subnetwork_id=subnetwork_id if settings.access.internal else None,
        after=after,
    )
    return StaticAddress(name, args, opts).ip


def _frontend(
    name: str, settings: GkeSettings, after: list[Apis], opts: pulumi.ResourceOptions
) -> PublicFrontend | None:
    domain, ranges = settings.access.domain, settings.access.source_ranges
    if not domain:
        return None
    return PublicFrontend(f"{name}-web", PublicFrontendArgs(domain, ranges, after), opts)


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
        # Keys are exchanged in place: a replaced Secret would replace the pods, too.
        enable_secret_mutable=True,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[pools])),
    )
