"""All Kubernetes resources of the service where Knative runs the workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core, meta

from infra.settings.gke import NAMESPACE, GkeSettings
from infra.settings.knative import WORKERS, KnativeSettings
from infra.settings.time_budget import TimeBudget
from serving.access.gateway import Frontend
from serving.access.load_balancer import Access, AccessArgs, PodsBehind
from serving.containers.server_config import ModelSource
from serving.containers.web_keys import keys_secret, secret_files
from serving.from_settings import exposure, namespace_args
from serving.knative import front
from serving.knative.gateway import domain, open_gateway
from serving.knative.network_policy import front_egress
from serving.knative.workers import Workers, WorkersArgs
from serving.names import FRONT, FRONT_LABELS, LABELS
from serving.namespace import Namespace
from serving.workloads.pod_monitoring import pod_monitoring


@dataclass(frozen=True)
class KnativeModelServiceArgs:
    """cluster: with which everything but load balancers is deleted; kubeconfig: its access.

    description: what the model says about itself. address: of the front's load balancer, if it has
    one of its own; frontend: of its domain; worker_address: of the workers', if they have one.
    knative: what runs the workers; after: what their pods need, such as the permission to read the
    bucket.
    """

    settings: GkeSettings
    knative_settings: KnativeSettings
    budget: TimeBudget
    queue: int
    model: ModelSource
    fingerprint: pulumi.Input[str]
    description: pulumi.Input[str]
    web_image: pulumi.Input[str]
    cluster: pulumi.Resource
    kubeconfig: pulumi.Input[str]
    address: pulumi.Input[str] | None
    frontend: Frontend | None
    worker_address: pulumi.Output[str] | None
    knative: pulumi.Resource
    after: Sequence[pulumi.Resource]


class KnativeModelService(pulumi.ComponentResource):
    """A front that is always there, and workers that come and go."""

    web_service: pulumi.Output[str]
    """The ID of the front's Service, which is there once its pods serve."""
    endpoint: pulumi.Output[str] | None
    """URL of the front; None if it is private."""
    worker_endpoint: pulumi.Output[str] | None
    """URL of the workers, which draw at once; None if they are private."""
    revision: pulumi.Output[str]
    """The newest revision's name."""

    def __init__(
        self, name: str, args: KnativeModelServiceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:serving:KnativeModelService", name, {}, opts)
        settings, job_seconds = args.settings, args.budget.job
        child = pulumi.ResourceOptions(parent=self)
        self._in_cluster = pulumi.ResourceOptions(parent=self, deleted_with=args.cluster)
        # Knative's controllers still have to end what is in the namespace when that is deleted.
        after_knative = pulumi.ResourceOptions(depends_on=[args.knative])
        # As in ModelService: with a domain it is waited for.
        of_namespace = child if args.frontend else self._in_cluster
        namespace = Namespace(
            name,
            namespace_args(settings, job_seconds),
            pulumi.ResourceOptions.merge(of_namespace, after_knative),
        )
        workers = Workers(
            name,
            WorkersArgs(
                settings=settings,
                knative_settings=args.knative_settings,
                budget=args.budget,
                namespace=namespace,
                model=args.model,
                fingerprint=args.fingerprint,
                web_image=args.web_image,
                is_open=args.worker_address is not None,
                after=[args.knative, *args.after],
            ),
            self._in_cluster,
        )
        self.revision = workers.revision
        # The front describes the newest model: until the workers serve that, it stays as it is.
        served = self._front(name, args, namespace, workers.service)
        access = Access(
            name,
            AccessArgs(
                namespace=namespace.name,
                pods=PodsBehind(FRONT, FRONT_LABELS, front_egress(), has_model_server=False),
                exposure=exposure(settings, args.address, args.frontend),
                request_timeout_seconds=job_seconds,
                after=[served.rollout],
                cluster=args.cluster,
            ),
            child,
        )
        self.web_service = access.web_service
        self.endpoint = access.endpoint
        self.worker_endpoint = None
        if args.worker_address is not None:
            open_gateway(name, exposure(settings, args.worker_address, None), args.knative, self)
            self.worker_endpoint = pulumi.Output.format(
                "http://{0}.{1}.{2}", WORKERS, NAMESPACE, domain(args.worker_address)
            )
        self.register_outputs({"endpoint": self.endpoint, "revision": self.revision})

    def _front(
        self,
        name: str,
        args: KnativeModelServiceArgs,
        namespace: Namespace,
        workers: pulumi.Resource,
    ) -> front.Front:
        settings = args.settings
        description = core.v1.ConfigMap(
            f"{name}-{front.DESCRIPTION}",
            metadata=meta.v1.ObjectMetaArgs(namespace=namespace.name, labels=LABELS),
            immutable=True,
            data={front.DESCRIPTION_FILE: args.description},
            opts=self._in_cluster,
        )
        users = keys_secret(
            name, namespace=namespace.name, keys=settings.keys, opts=self._in_cluster
        )
        own = secret_files(
            name,
            front.KEY,
            namespace=namespace.name,
            files={front.KEY_FILE: settings.front_key},
            opts=self._in_cluster,
        )
        served = front.Front(
            name,
            front.FrontArgs(
                kubeconfig=args.kubeconfig,
                namespace=namespace.name,
                image=args.web_image,
                description_name=description.metadata.name,
                workers=settings.pod.max_replicas,
                queue=args.queue,
                budget=args.budget,
                after=[users, own, workers],
            ),
            self._in_cluster,
        )
        pod_monitoring(
            f"{name}-{FRONT}",
            FRONT,
            FRONT_LABELS,
            namespace=namespace.name,
            opts=self._in_cluster,
        )
        return served
