"""Model servers as a Deployment, with an autoscaler and a disruption budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apps, autoscaling, core, meta, policy

from serving.names import LABELS, NAME
from serving.timing import delete_timeout_seconds, rollout_seconds, start_deadline_seconds
from serving.workloads.autoscaling import Replicas, autoscaler_spec
from serving.workloads.rollout import Rollout, RolloutArgs, revision_of

_MIN_READY_SECONDS = 10
"""A pod that ends within its first seconds does not count as started."""


@dataclass(frozen=True)
class AutoscaledDeploymentArgs:
    """template: of the pods; model_bytes: the model's size, which decides how long a start takes.

    kubeconfig: to wait for the pods; after: dependencies of the pods, such as the permission to
    read the bucket.
    """

    kubeconfig: pulumi.Input[str]
    namespace: pulumi.Input[str]
    template: core.v1.PodTemplateSpecArgs
    replicas: Replicas
    model_bytes: pulumi.Input[int]
    request_timeout_seconds: int
    after: Sequence[pulumi.Resource]


class AutoscaledDeployment(pulumi.ComponentResource):
    """A changed template is a rolling update. The autoscaler sets the number of pods."""

    rollout: Rollout
    """What needs pods that serve depends on it."""

    def __init__(
        self,
        name: str,
        args: AutoscaledDeploymentArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("diffusion:serving:AutoscaledDeployment", name, {}, opts)
        deployment = self._deployment(name, args)
        self.rollout = self._rollout(name, args, deployment)
        metadata = meta.v1.ObjectMetaArgs(name=NAME, namespace=args.namespace)
        policy.v1.PodDisruptionBudget(
            name,
            metadata=metadata,
            spec=policy.v1.PodDisruptionBudgetSpecArgs(
                max_unavailable=1,
                # A pod that crashes or loads its model would keep its node from being drained.
                unhealthy_pod_eviction_policy="AlwaysAllow",
                selector=meta.v1.LabelSelectorArgs(match_labels=LABELS),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        autoscaling.v2.HorizontalPodAutoscaler(
            name,
            metadata=metadata,
            spec=autoscaler_spec(NAME, args.replicas, args.request_timeout_seconds),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.rollout]),
        )
        self.register_outputs({})

    def _rollout(
        self, name: str, args: AutoscaledDeploymentArgs, deployment: apps.v1.Deployment
    ) -> Rollout:
        return Rollout(
            name,
            RolloutArgs(
                kubeconfig=args.kubeconfig,
                namespace=args.namespace,
                deployment=NAME,
                uid=deployment.metadata.uid,
                revision=revision_of(args.template),
                deadline_seconds=rollout_seconds(args.replicas.most, args.request_timeout_seconds),
            ),
            pulumi.ResourceOptions(parent=self, depends_on=[deployment]),
        )

    def _deployment(self, name: str, args: AutoscaledDeploymentArgs) -> apps.v1.Deployment:
        surge, timeout = args.replicas.surge, args.request_timeout_seconds
        return apps.v1.Deployment(
            name,
            metadata=meta.v1.ObjectMetaArgs(
                name=NAME,
                namespace=args.namespace,
                labels=LABELS,
                # `Rollout` waits for the pods.
                annotations={"pulumi.com/skipAwait": "true"},
            ),
            spec=apps.v1.DeploymentSpecArgs(
                selector=meta.v1.LabelSelectorArgs(match_labels=LABELS),
                strategy=apps.v1.DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=apps.v1.RollingUpdateDeploymentArgs(
                        max_surge=1 if surge else 0, max_unavailable=0 if surge else 1
                    ),
                ),
                min_ready_seconds=_MIN_READY_SECONDS,
                progress_deadline_seconds=pulumi.Output.from_input(args.model_bytes).apply(
                    lambda size: start_deadline_seconds(size, timeout)
                ),
                # An earlier revision's model and configuration are deleted after the update, so
                # that `kubectl rollout undo` would roll back to pods that cannot start.
                revision_history_limit=0,
                template=args.template,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                ignore_changes=["spec.replicas"],
                custom_timeouts=pulumi.CustomTimeouts(delete=f"{delete_timeout_seconds(timeout)}s"),
            ),
        )
