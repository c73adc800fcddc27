"""What a stack's settings say, as the arguments of the service's components."""

from __future__ import annotations

import pulumi

from infra.settings.gke import NAMESPACE, SERVICE_ACCOUNT, GkeSettings
from serving.access.gateway import Frontend
from serving.access.load_balancer import Exposure
from serving.containers.model_server import PodShape
from serving.namespace import NamespaceArgs
from serving.workloads.autoscaling import Replicas


def namespace_args(settings: GkeSettings, request_timeout_seconds: int) -> NamespaceArgs:
    return NamespaceArgs(
        namespace=NAMESPACE,
        service_account=SERVICE_ACCOUNT,
        protected=settings.deletion_protection,
        request_timeout_seconds=request_timeout_seconds,
    )


def pod_shape(settings: GkeSettings) -> PodShape:
    return PodShape(
        cpus=settings.pod.cpu,
        memory_mib=settings.pod.model_server_mib,
        node_cpus=settings.nodes.machine.vcpus,
    )


def replicas(settings: GkeSettings) -> Replicas:
    return Replicas(
        least=settings.pod.min_replicas,
        most=settings.pod.max_replicas,
        cpu_target_percent=settings.pod.cpu_target_percent,
        surge=settings.has_surge_room,
    )


def exposure(
    settings: GkeSettings, address: pulumi.Input[str] | None, frontend: Frontend | None
) -> Exposure:
    access = settings.access
    return Exposure(
        apis=access.exposed,
        plain_http=access.plain_http,
        frontend=frontend,
        source_ranges=access.source_ranges,
        internal=access.internal,
        address=address,
    )
