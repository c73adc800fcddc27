"""The container of TensorFlow Serving: the stock image, locked down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core

from infra.settings.stack import ServerSettings
from serving.containers.model_volume import fuse_mount
from serving.containers.server_config import ModelSource, config_mount
from serving.names import NAME
from serving.tensorflow_serving.flags import server_arguments
from serving.tensorflow_serving.probes import alive_command, ready_command
from serving.tensorflow_serving.starting import start_command
from serving.timing import (
    ENDPOINT_REMOVAL_SECONDS,
    PROBE_PERIOD_SECONDS,
    startup_failure_threshold,
)

_PROBE_TIMEOUT_SECONDS = 20
"""A probe ends by itself before; Kubernetes counts one that it has to stop as failed."""
_READINESS_FAILURES = 3
FAILED_GRACE_SECONDS = 30
"""For a container whose probe failed: it draws nothing that is worth waiting for."""
_LIVENESS_PERIOD_SECONDS = 30
_LIVENESS_FAILURES = 10


@dataclass(frozen=True)
class PodShape:
    """What the model server asks of a node, in CPUs and MiB. node_cpus: of the machine type."""

    cpus: int
    memory_mib: int
    node_cpus: int


def model_server(
    *,
    image: str,
    env: Sequence[core.v1.EnvVarArgs],
    ports: Mapping[str, int],
    model: ModelSource,
    shape: PodShape,
    server: ServerSettings,
    exposed: bool,
    failed_grace: int | None = FAILED_GRACE_SECONDS,
) -> core.v1.ContainerArgs:
    """The container. env: which model; ports: those it declares, by their names.

    exposed: whether others than the web service beside it send it requests. failed_grace: None is
    the pod's own.
    """
    memory = f"{shape.memory_mib}Mi"
    timeout = server.request_timeout_seconds
    return core.v1.ContainerArgs(
        name=NAME,
        image=image,
        command=start_command(raw_seconds=ENDPOINT_REMOVAL_SECONDS if exposed else 0),
        args=server_arguments(cpus=shape.cpus, queue=server.queue, request_timeout=timeout),
        env=list(env),
        ports=[
            core.v1.ContainerPortArgs(name=name, container_port=port)
            for name, port in ports.items()
        ]
        or None,
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": str(shape.cpus), "memory": memory},
            # The computing threads match the request; an equal limit would throttle the others,
            # which only wait and answer.
            limits={"cpu": str(shape.node_cpus), "memory": memory},
        ),
        startup_probe=_probe(
            ready_command(),
            PROBE_PERIOD_SECONDS,
            pulumi.Output.from_input(model.size_bytes).apply(
                lambda size: startup_failure_threshold(size, timeout)
            ),
            grace=failed_grace,
        ),
        readiness_probe=_probe(ready_command(), PROBE_PERIOD_SECONDS, _READINESS_FAILURES),
        liveness_probe=_probe(
            alive_command(),
            _LIVENESS_PERIOD_SECONDS,
            _LIVENESS_FAILURES,
            grace=failed_grace,
        ),
        security_context=locked_down(),
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=[
            config_mount(),
            core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp"),
            *([fuse_mount()] if model.access == "fuse" else []),
        ],
    )


def locked_down() -> core.v1.SecurityContextArgs:
    """No privileges, and a read-only root file system."""
    return core.v1.SecurityContextArgs(
        allow_privilege_escalation=False,
        privileged=False,
        read_only_root_filesystem=True,
        capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
    )


def _probe(
    command: list[str], period: int, failures: pulumi.Input[int], grace: int | None = None
) -> core.v1.ProbeArgs:
    """grace: seconds until a container whose probe failed is killed; None is the pod's own."""
    return core.v1.ProbeArgs(
        exec_=core.v1.ExecActionArgs(command=command),
        period_seconds=period,
        timeout_seconds=_PROBE_TIMEOUT_SECONDS,
        failure_threshold=failures,
        termination_grace_period_seconds=grace,
    )
