"""Autoscaling: the number of pods follows their CPU use."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import autoscaling, meta

from serving.timing import scale_down_window_seconds

_SCALE_DOWN_PERIOD_SECONDS = 60


@dataclass(frozen=True)
class AutoscalingArgs:
    """cpu_target_percent: of the pods' CPU request. One request uses all of a pod's CPUs."""

    namespace: pulumi.Input[str]
    deployment_name: pulumi.Input[str]
    min_replicas: int
    max_replicas: int
    cpu_target_percent: int
    request_timeout_seconds: int


class Autoscaling(pulumi.ComponentResource):
    """A HorizontalPodAutoscaler on CPU that scales down slowly."""

    def __init__(
        self, name: str, args: AutoscalingArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:serving:Autoscaling", name, {}, opts)
        autoscaling.v2.HorizontalPodAutoscaler(
            name,
            metadata=meta.v1.ObjectMetaArgs(namespace=args.namespace),
            spec=autoscaling.v2.HorizontalPodAutoscalerSpecArgs(
                scale_target_ref=autoscaling.v2.CrossVersionObjectReferenceArgs(
                    api_version="apps/v1", kind="Deployment", name=args.deployment_name
                ),
                min_replicas=args.min_replicas,
                max_replicas=args.max_replicas,
                metrics=[
                    autoscaling.v2.MetricSpecArgs(
                        type="Resource",
                        resource=autoscaling.v2.ResourceMetricSourceArgs(
                            name="cpu",
                            target=autoscaling.v2.MetricTargetArgs(
                                type="Utilization", average_utilization=args.cpu_target_percent
                            ),
                        ),
                    )
                ],
                behavior=autoscaling.v2.HorizontalPodAutoscalerBehaviorArgs(
                    scale_down=autoscaling.v2.HPAScalingRulesArgs(
                        stabilization_window_seconds=scale_down_window_seconds(
                            args.request_timeout_seconds
                        ),
                        policies=[
                            autoscaling.v2.HPAScalingPolicyArgs(
                                type="Pods", value=1, period_seconds=_SCALE_DOWN_PERIOD_SECONDS
                            )
                        ],
                    )
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
