"""All Kubernetes resources of the service: pods, autoscaling, load balancer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from infra.settings.gke import NAMESPACE, SERVICE_ACCOUNT, GkeSettings
from infra.settings.stack import ServerSettings
from serving.access.load_balancer import Access, AccessArgs, Exposure
from serving.containers.model_server import PodShape
from serving.containers.pod import PodArgs, pod_template
from serving.containers.server_config import ModelSource, server_config
from serving.names import GRPC_PORT, REST_PORT
from serving.namespace import Namespace, NamespaceArgs
from serving.tensorflow_serving.image import image
from serving.workloads.autoscaling import Replicas
from serving.workloads.deployment import AutoscaledDeployment, AutoscaledDeploymentArgs


@dataclass(frozen=True)
class ModelServiceArgs:
    """cluster: with which everything but the load balancer is deleted; kubeconfig: its access.

    address: the load balancer's, if it has one of its own. after: dependencies of the pods, such as
    the permission to read the bucket.
    """

    settings: GkeSettings
    server: ServerSettings
    model: ModelSource
    cluster: pulumi.Resource
    kubeconfig: pulumi.Input[str]
    address: pulumi.Input[str] | None
    after: Sequence[pulumi.Resource]


class ModelService(pulumi.ComponentResource):
    """A served model behind a load balancer."""

    endpoint: pulumi.Output[str] | None
    """Base URL of the REST API; None if it is not exposed."""
    grpc_endpoint: pulumi.Output[str] | None
    """host:port of the gRPC API; None if it is not exposed."""

    def __init__(
        self, name: str, args: ModelServiceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:serving:ModelService", name, {}, opts)
        settings, timeout = args.settings, args.server.request_timeout_seconds
        child = pulumi.ResourceOptions(parent=self)
        in_cluster = pulumi.ResourceOptions(parent=self, deleted_with=args.cluster)
        namespace = Namespace(
            name,
            NamespaceArgs(
                namespace=NAMESPACE,
                service_account=SERVICE_ACCOUNT,
                protected=settings.deletion_protection,
                request_timeout_seconds=timeout,
            ),
            in_cluster,
        )
        config = server_config(
            name,
            namespace=namespace.name,
            model=args.model,
            queue=args.server.queue,
            opts=in_cluster,
        )
        workload = AutoscaledDeployment(
            name,
            AutoscaledDeploymentArgs(
                kubeconfig=args.kubeconfig,
                namespace=namespace.name,
                template=pod_template(
                    PodArgs(
                        image=image(settings.image_digest),
                        service_account=namespace.service_account,
                        config_name=config.metadata.name,
                        model=args.model,
                        shape=_shape(settings),
                        server=args.server,
                    )
                ),
                replicas=_replicas(settings),
                model_bytes=args.model.size_bytes,
                request_timeout_seconds=timeout,
                after=args.after,
            ),
            in_cluster,
        )
        access = Access(
            name,
            AccessArgs(
                namespace=namespace.name,
                exposure=_exposure(settings, args.address),
                after=[workload.rollout],
                cluster=args.cluster,
            ),
            child,
        )
        exposed = settings.access.exposed
        self.endpoint = self.grpc_endpoint = None
        if access.address is not None and "rest" in exposed:
            self.endpoint = pulumi.Output.format("http://{0}:{1}", access.address, REST_PORT)
        if access.address is not None and "grpc" in exposed:
            self.grpc_endpoint = pulumi.Output.format("{0}:{1}", access.address, GRPC_PORT)
        self.register_outputs({"endpoint": self.endpoint, "grpcEndpoint": self.grpc_endpoint})


def _shape(settings: GkeSettings) -> PodShape:
    return PodShape(
        cpus=settings.pod.cpu,
        memory_gib=settings.pod.memory_gib,
        node_cpus=settings.nodes.machine.vcpus,
    )


def _replicas(settings: GkeSettings) -> Replicas:
    return Replicas(
        least=settings.pod.min_replicas,
        most=settings.pod.max_replicas,
        cpu_target_percent=settings.pod.cpu_target_percent,
        surge=settings.has_surge_room,
    )


def _exposure(settings: GkeSettings, address: pulumi.Input[str] | None) -> Exposure:
    access = settings.access
    return Exposure(
        apis=access.exposed,
        source_ranges=access.source_ranges,
        internal=access.internal,
        address=address,
    )
