"""The model server: its configuration, its Deployment and its disruption budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apps, core, meta, policy

from infra.batching import batching_parameters
from infra.gke_settings import ModelAccess
from infra.monitoring import monitoring_config
from model_export.spec import MODEL_NAME
from serving.model_volume import model_path
from serving.names import LABELS
from serving.pod import PodArgs, pod_template
from serving.server_config import BATCHING_FILE, MONITORING_FILE
from serving.timing import ROLLOUT_SECONDS, delete_timeout_seconds


@dataclass(frozen=True)
class ModelServerArgs:
    """The model, the pods' resources and the server's limits.

    surge: whether the nodes have room for a pod beyond the autoscaler's maximum;
    after: dependencies, such as the permission to read the bucket.
    """

    namespace: pulumi.Input[str]
    service_account: pulumi.Input[str]
    image: str
    model_uri: pulumi.Input[str]
    model_bytes: pulumi.Input[int]
    model_access: ModelAccess
    bucket: pulumi.Input[str]
    cpus: int
    memory_gib: int
    node_cpus: int
    queue: int
    request_timeout_seconds: int
    surge: bool
    after: Sequence[pulumi.Resource]


class ModelServer(pulumi.ComponentResource):
    """TensorFlow Serving with one model. A changed model or setting is a rolling update.

    The autoscaler sets the number of pods.
    """

    deployment: apps.v1.Deployment
    deployment_name: pulumi.Output[str]

    def __init__(
        self, name: str, args: ModelServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:serving:ModelServer", name, {}, opts)
        config = self._config_map(name, args)
        self.deployment = self._deployment(name, args, config)
        policy.v1.PodDisruptionBudget(
            name,
            metadata=meta.v1.ObjectMetaArgs(namespace=args.namespace),
            spec=policy.v1.PodDisruptionBudgetSpecArgs(
                max_unavailable=1, selector=meta.v1.LabelSelectorArgs(match_labels=LABELS)
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.deployment_name = self.deployment.metadata.name
        self.register_outputs({"deploymentName": self.deployment_name})

    def _config_map(self, name: str, args: ModelServerArgs) -> core.v1.ConfigMap:
        # Auto-named and immutable: changed content is a new ConfigMap, which rolls out new pods.
        uri = pulumi.Output.from_input(args.model_uri)
        return core.v1.ConfigMap(
            name,
            metadata=meta.v1.ObjectMetaArgs(namespace=args.namespace, labels=LABELS),
            immutable=True,
            data={
                "MODEL_NAME": MODEL_NAME,
                "MODEL_PATH": uri.apply(model_path) if args.model_access == "fuse" else uri,
                BATCHING_FILE: batching_parameters(args.queue),
                MONITORING_FILE: monitoring_config(),
            },
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _deployment(
        self, name: str, args: ModelServerArgs, config: core.v1.ConfigMap
    ) -> apps.v1.Deployment:
        return apps.v1.Deployment(
            name,
            metadata=meta.v1.ObjectMetaArgs(namespace=args.namespace, labels=LABELS),
            spec=apps.v1.DeploymentSpecArgs(
                selector=meta.v1.LabelSelectorArgs(match_labels=LABELS),
                strategy=apps.v1.DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=apps.v1.RollingUpdateDeploymentArgs(
                        max_surge=1 if args.surge else 0,
                        max_unavailable=0 if args.surge else 1,
                    ),
                ),
                progress_deadline_seconds=ROLLOUT_SECONDS,
                revision_history_limit=3,
                template=pod_template(
                    PodArgs(
                        image=args.image,
                        service_account=args.service_account,
                        config_name=config.metadata.name,
                        cpus=args.cpus,
                        memory_gib=args.memory_gib,
                        node_cpus=args.node_cpus,
                        queue=args.queue,
                        request_timeout_seconds=args.request_timeout_seconds,
                        model_bytes=args.model_bytes,
                        model_access=args.model_access,
                        bucket=args.bucket,
                    )
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                ignore_changes=["spec.replicas"],
                custom_timeouts=pulumi.CustomTimeouts(
                    create=f"{ROLLOUT_SECONDS}s",
                    update=f"{ROLLOUT_SECONDS}s",
                    delete=f"{delete_timeout_seconds(args.request_timeout_seconds)}s",
                ),
            ),
        )
