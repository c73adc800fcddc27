"""The container of the web service, which asks the model server beside it in the pod."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import core

from infra.settings.stack import ServerSettings
from infra.settings.web import WEB_CONTAINER
from model_export.spec import MODEL_NAME
from serving.containers.model_server import FAILED_GRACE_SECONDS, locked_down
from serving.containers.web_keys import KEYS_FILE, keys_mount
from serving.names import GRPC_PORT, WEB, WEB_METRICS_PORT, WEB_PORT, WEB_PORTS
from serving.timing import ENDPOINT_REMOVAL_SECONDS

_LIMITS = {"cpu": "1", "memory": "2Gi"}
"""Of the memory, most is for what is rare: 256 MiB of requests on their way, of which Python makes
several copies, and 256 MiB of pictures that wait to be fetched."""
_PROBE_TIMEOUT_SECONDS = 5


def web_container(
    *,
    image: pulumi.Input[str],
    arguments: Sequence[str],
    ports: Mapping[str, int] = WEB_PORTS,
    mounts: Sequence[core.v1.VolumeMountArgs] = (),
    removal_seconds: int = ENDPOINT_REMOVAL_SECONDS,
    failed_grace: int | None = FAILED_GRACE_SECONDS,
) -> core.v1.ContainerArgs:
    """The container. Its image starts `python -m web` with the arguments.

    ports: those it declares, by their names; mounts: beside its keys. removal_seconds: how long
    load balancers may send requests to a stopping pod; 0 where that is not its affair.
    failed_grace: None is the pod's own.
    """
    # Knative declares its only port by another name.
    own = WEB if WEB in ports else WEB_PORT
    return core.v1.ContainerArgs(
        name=WEB,
        image=image,
        args=list(arguments),
        ports=[
            core.v1.ContainerPortArgs(name=name, container_port=port)
            for name, port in ports.items()
        ],
        resources=core.v1.ResourceRequirementsArgs(
            requests={
                "cpu": f"{WEB_CONTAINER.millicpu}m",
                "memory": f"{WEB_CONTAINER.memory_mib}Mi",
            },
            limits=_LIMITS,
        ),
        # Not /ready: while a large model loads, a restart of the web service would not help.
        startup_probe=_probe("/health", own, period=2, failures=60, grace=failed_grace),
        readiness_probe=_probe("/ready", own, period=10, failures=3),
        liveness_probe=_probe("/health", own, period=30, failures=5, grace=failed_grace),
        # It closes its port once the last picture is drawn.
        lifecycle=_sleep(removal_seconds) if removal_seconds else None,
        security_context=locked_down(),
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=[keys_mount(), *mounts],
    )


def web_arguments(server: ServerSettings) -> list[str]:
    """The service's command line. Its keys let it listen on all addresses."""
    timeout = server.request_timeout_seconds
    return command_line(
        {
            "model-server": f"127.0.0.1:{GRPC_PORT}",
            "model-name": MODEL_NAME,
            "host": "0.0.0.0",
            "port": WEB_PORT,
            "metrics-port": WEB_METRICS_PORT,
            "keys-file": KEYS_FILE,
            "queue": server.queue,
            "deadline": timeout,
            "stop-timeout": timeout,
        }
    )


def command_line(options: Mapping[str, object]) -> list[str]:
    """The options, by their names."""
    return [f"--{name}={value}" for name, value in options.items()]


def _sleep(seconds: int) -> core.v1.LifecycleArgs:
    """Before the process gets SIGTERM."""
    return core.v1.LifecycleArgs(
        pre_stop=core.v1.LifecycleHandlerArgs(sleep=core.v1.SleepActionArgs(seconds=seconds))
    )


def _probe(
    path: str, port: str | int, period: int, failures: int, grace: int | None = None
) -> core.v1.ProbeArgs:
    """grace: seconds until a container whose probe failed is killed; None is the pod's own."""
    return core.v1.ProbeArgs(
        http_get=core.v1.HTTPGetActionArgs(path=path, port=port),
        period_seconds=period,
        timeout_seconds=_PROBE_TIMEOUT_SECONDS,
        failure_threshold=failures,
        termination_grace_period_seconds=grace,
    )
