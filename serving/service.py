"""All Kubernetes resources of the service: pods, autoscaling, load balancer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from infra.gke_settings import NAMESPACE, SERVICE_ACCOUNT, GkeSettings
from infra.settings import ServerSettings
from serving.autoscaling import Autoscaling, AutoscalingArgs
from serving.exposure import Exposure, ExposureArgs
from serving.model_server import ModelServer, ModelServerArgs
from serving.names import GRPC_PORT, REST_PORT
from serving.namespace import Namespace, NamespaceArgs


@dataclass(frozen=True)
class ServiceArgs:
    """after: dependencies of the pods, such as the permission to read the bucket."""

    settings: GkeSettings
    server: ServerSettings
    bucket: pulumi.Input[str]
    model_uri: pulumi.Input[str]
    model_bytes: pulumi.Input[int]
    after: Sequence[pulumi.Resource]


class Service(pulumi.ComponentResource):
    """A served model behind a load balancer."""

    endpoint: pulumi.Output[str]
    """Base URL of the REST API."""
    grpc_endpoint: pulumi.Output[str]
    """host:port of the gRPC API."""

    def __init__(
        self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:serving:Service", name, {}, opts)
        settings, timeout = args.settings, args.server.request_timeout_seconds
        child = pulumi.ResourceOptions(parent=self)
        namespace = Namespace(
            name,
            NamespaceArgs(
                namespace=NAMESPACE,
                service_account=SERVICE_ACCOUNT,
                protected=settings.deletion_protection,
                request_timeout_seconds=timeout,
            ),
            child,
        )
        server = ModelServer(
            name,
            ModelServerArgs(
                namespace=namespace.name,
                service_account=namespace.service_account,
                image=settings.image,
                model_uri=args.model_uri,
                model_bytes=args.model_bytes,
                model_access=settings.model_access,
                bucket=args.bucket,
                cpus=settings.pod.cpu,
                memory_gib=settings.pod.memory_gib,
                node_cpus=settings.nodes.machine.vcpus,
                queue=args.server.queue,
                request_timeout_seconds=timeout,
                surge=settings.has_surge_room,
                after=args.after,
            ),
            child,
        )
        Autoscaling(
            name,
            AutoscalingArgs(
                namespace=namespace.name,
                deployment_name=server.deployment_name,
                min_replicas=settings.pod.min_replicas,
                max_replicas=settings.pod.max_replicas,
                cpu_target_percent=settings.pod.cpu_target_percent,
                request_timeout_seconds=timeout,
            ),
            child,
        )
        exposure = Exposure(
            name,
            ExposureArgs(
                namespace=namespace.name,
                source_ranges=settings.source_ranges,
                internal=settings.internal,
                deployment=server.deployment,
            ),
            child,
        )
        self.endpoint = pulumi.Output.format("http://{0}:{1}", exposure.address, REST_PORT)
        self.grpc_endpoint = pulumi.Output.format("{0}:{1}", exposure.address, GRPC_PORT)
        self.register_outputs({"endpoint": self.endpoint, "grpcEndpoint": self.grpc_endpoint})
