"""All Google Cloud resources of the service."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from infra.apis import Apis, ApisArgs
from infra.bucket import ModelBucket, ModelBucketArgs
from infra.cluster import Cluster, ClusterArgs
from infra.gke_settings import NAMESPACE, SERVICE_ACCOUNT, GkeSettings
from infra.identity import ModelReader, ModelReaderArgs, NodeIdentity, NodeIdentityArgs
from infra.network import Network, NetworkArgs
from infra.node_pool import NodePool, NodePoolArgs


@dataclass(frozen=True)
class PlatformArgs:
    """settings: of the stack."""

    settings: GkeSettings


class Platform(pulumi.ComponentResource):
    """A cluster with nodes, a bucket that its pods can read, and a Kubernetes provider."""

    bucket: ModelBucket
    cluster: Cluster
    reader: ModelReader
    kubernetes: kubernetes.Provider
    """Deleted before the nodes, so that its resources are deleted while the cluster works."""

    def __init__(
        self, name: str, args: PlatformArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:Platform", name, {}, opts)
        settings = args.settings
        protected = settings.deletion_protection
        child = pulumi.ResourceOptions(parent=self)
        apis = Apis(name, ApisArgs(project=settings.project), child)
        network = Network(name, NetworkArgs(region=settings.region, apis=apis), child)
        self.bucket = ModelBucket(
            f"{name}-models",
            ModelBucketArgs(region=settings.region, protected=protected, apis=apis),
            child,
        )
        nodes = NodeIdentity(
            f"{name}-nodes", NodeIdentityArgs(project=settings.project, apis=apis), child
        )
        self.cluster = Cluster(
            name,
            ClusterArgs(
                project=settings.project,
                location=settings.location,
                network=network,
                node_service_account=nodes.email,
                protected=protected,
                apis=apis,
            ),
            child,
        )
        pool = NodePool(
            f"{name}-nodes",
            NodePoolArgs(
                cluster=self.cluster,
                network=network,
                identity=nodes,
                nodes=settings.nodes,
                surge=settings.has_surge_room,
            ),
            child,
        )
        self.reader = ModelReader(
            f"{name}-model-reader",
            ModelReaderArgs(
                project=settings.project,
                bucket=self.bucket.name,
                namespace=NAMESPACE,
                service_account=SERVICE_ACCOUNT,
                cluster=self.cluster.resource,
                apis=apis,
            ),
            child,
        )
        self.kubernetes = kubernetes.Provider(
            name,
            kubeconfig=self.cluster.kubeconfig,
            # Without it, a changed kubeconfig would replace the provider and all its resources.
            cluster_identifier=self.cluster.resource.id,
            enable_server_side_apply=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[pool]),
        )
        self.register_outputs({})
