"""Autoscaling: the number of pods follows their CPU use."""

from __future__ import annotations

from dataclasses import dataclass

from pulumi_kubernetes import autoscaling

from serving.timing import scale_down_window_seconds

_SCALE_DOWN_PERIOD_SECONDS = 60


@dataclass(frozen=True)
class Replicas:
    """How many pods. surge: whether the nodes have room for one beyond the most.

    cpu_target_percent: of the pods' CPU request. One request uses all of a pod's CPUs.
    """

    least: int
    most: int
    cpu_target_percent: int
    surge: bool


def autoscaler_spec(
    deployment_name: str, replicas: Replicas, request_timeout: int
) -> autoscaling.v2.HorizontalPodAutoscalerSpecArgs:
    """Scales on CPU, and down slowly: one pod a minute, and none while requests may still run."""
    return autoscaling.v2.HorizontalPodAutoscalerSpecArgs(
        scale_target_ref=autoscaling.v2.CrossVersionObjectReferenceArgs(
            api_version="apps/v1", kind="Deployment", name=deployment_name
        ),
        min_replicas=replicas.least,
        max_replicas=replicas.most,
        metrics=[
            autoscaling.v2.MetricSpecArgs(
                type="Resource",
                resource=autoscaling.v2.ResourceMetricSourceArgs(
                    name="cpu",
                    target=autoscaling.v2.MetricTargetArgs(
                        type="Utilization", average_utilization=replicas.cpu_target_percent
                    ),
                ),
            )
        ],
        behavior=autoscaling.v2.HorizontalPodAutoscalerBehaviorArgs(
            scale_down=autoscaling.v2.HPAScalingRulesArgs(
                stabilization_window_seconds=scale_down_window_seconds(request_timeout),
                policies=[
                    autoscaling.v2.HPAScalingPolicyArgs(
                        type="Pods", value=1, period_seconds=_SCALE_DOWN_PERIOD_SECONDS
                    )
                ],
            )
        ),
    )
