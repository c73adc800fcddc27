"""All Kubernetes resources of the service: pods, keys, autoscaling, access, monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from infra.settings.gke import GkeSettings
from infra.settings.stack import ServerSettings
from serving.access.gateway import Frontend
from serving.access.load_balancer import Access, AccessArgs, PodsBehind
from serving.access.network_policy import to_the_model
from serving.containers.pod import PodArgs, pod_template
from serving.containers.server_config import ModelSource, server_config
from serving.containers.web_keys import keys_secret
from serving.from_settings import exposure, namespace_args, pod_shape, replicas
from serving.names import GRPC_PORT, LABELS, NAME, REST_PORT
from serving.namespace import Namespace
from serving.tensorflow_serving.image import image
from serving.workloads.deployment import AutoscaledDeployment, AutoscaledDeploymentArgs
from serving.workloads.pod_monitoring import pod_monitoring


@dataclass(frozen=True)
class ModelServiceArgs:
    """cluster: with which everything but the load balancer is deleted; kubeconfig: its access.

    web_image: of the web service. address: the load balancer's, if it has one of its own. frontend:
    the domain's. after: dependencies of the pods, such as the permission to read the bucket.
    """

    settings: GkeSettings
    server: ServerSettings
    model: ModelSource
    web_image: pulumi.Input[str]
    cluster: pulumi.Resource
    kubeconfig: pulumi.Input[str]
    address: pulumi.Input[str] | None
    frontend: Frontend | None
    after: Sequence[pulumi.Resource]


class ModelService(pulumi.ComponentResource):
    """A served model behind a web service."""

    web_service: pulumi.Output[str]
    """The ID of its Service, which is there once the pods serve."""
    endpoint: pulumi.Output[str] | None
    """URL of the web service; None if it is private."""
    model_endpoint: pulumi.Output[str] | None
    """Base URL of the model server's REST API; None if it is not exposed."""
    grpc_endpoint: pulumi.Output[str] | None
    """host:port of the model server's gRPC API; None if it is not exposed."""

    def __init__(
        self, name: str, args: ModelServiceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:serving:ModelService", name, {}, opts)
        settings, timeout = args.settings, args.server.request_timeout_seconds
        child = pulumi.ResourceOptions(parent=self)
        in_cluster = pulumi.ResourceOptions(parent=self, deleted_with=args.cluster)
        # Google's controllers have finalizers on what they made for a Gateway: the namespace goes
        # once that is gone, which would keep the network.
        namespace = Namespace(
            name,
            namespace_args(settings, timeout),
            child if args.frontend else in_cluster,
        )
        config = server_config(
            name,
            namespace=namespace.name,
            model=args.model,
            queue=args.server.queue,
            opts=in_cluster,
        )
        secret = keys_secret(name, namespace=namespace.name, keys=settings.keys, opts=in_cluster)
        workload = AutoscaledDeployment(
            name,
            AutoscaledDeploymentArgs(
                kubeconfig=args.kubeconfig,
                namespace=namespace.name,
                template=pod_template(
                    PodArgs(
                        image=image(settings.image_digest),
                        web_image=args.web_image,
                        service_account=namespace.service_account,
                        config_name=config.metadata.name,
                        model=args.model,
                        shape=pod_shape(settings),
                        server=args.server,
                        exposed=bool(settings.access.exposed),
                    )
                ),
                replicas=replicas(settings),
                model_bytes=args.model.size_bytes,
                request_timeout_seconds=timeout,
                after=[*args.after, secret],
            ),
            in_cluster,
        )
        pod_monitoring(name, NAME, LABELS, namespace=namespace.name, opts=in_cluster)
        access = Access(
            name,
            AccessArgs(
                namespace=namespace.name,
                pods=PodsBehind(NAME, LABELS, to_the_model(), has_model_server=True),
                exposure=exposure(settings, args.address, args.frontend),
                request_timeout_seconds=timeout,
                after=[workload.rollout],
                cluster=args.cluster,
            ),
            child,
        )
        self.web_service = access.web_service
        self.endpoint = access.endpoint
        exposed = settings.access.exposed
        self.model_endpoint = self.grpc_endpoint = None
        if access.address is not None and "rest" in exposed:
            self.model_endpoint = pulumi.Output.format("http://{0}:{1}", access.address, REST_PORT)
        if access.address is not None and "grpc" in exposed:
            self.grpc_endpoint = pulumi.Output.format("{0}:{1}", access.address, GRPC_PORT)
        self.register_outputs(
            {
                "endpoint": self.endpoint,
                "modelEndpoint": self.model_endpoint,
                "grpcEndpoint": self.grpc_endpoint,
            }
        )
