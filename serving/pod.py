"""The pod of a model server: one container of the stock image, locked down."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core, meta

from infra.gke_settings import ModelAccess
from serving.model_volume import FUSE_ANNOTATIONS, USER_ID, fuse_mount, fuse_volumes
from serving.names import GRPC_PORT, LABELS, REST_PORT, STATUS_PATH
from serving.server_config import CONFIG_FOLDER, server_arguments
from serving.stopping import pre_stop_script
from serving.timing import (
    PROBE_PERIOD_SECONDS,
    grace_period_seconds,
    startup_failure_threshold,
)

_CONTAINER = "model-server"
_PROBE_TIMEOUT_SECONDS = 5
_READINESS_FAILURES = 3
_LIVENESS_PERIOD_SECONDS = 30
_LIVENESS_FAILURES = 10


@dataclass(frozen=True)
class PodArgs:
    """One model server.

    config_name: of the ConfigMap; cpus and memory_gib: requests; node_cpus: of the machine type;
    model_bytes: the model's size; bucket: the model's, for GCS FUSE.
    """

    image: str
    service_account: pulumi.Input[str]
    config_name: pulumi.Input[str]
    cpus: int
    memory_gib: int
    node_cpus: int
    queue: int
    request_timeout_seconds: int
    model_bytes: pulumi.Input[int]
    model_access: ModelAccess
    bucket: pulumi.Input[str]


def pod_template(args: PodArgs) -> core.v1.PodTemplateSpecArgs:
    """The template of the Deployment."""
    fuse = args.model_access == "fuse"
    return core.v1.PodTemplateSpecArgs(
        metadata=meta.v1.ObjectMetaArgs(
            labels=LABELS, annotations=FUSE_ANNOTATIONS if fuse else None
        ),
        spec=core.v1.PodSpecArgs(
            service_account_name=args.service_account,
            # Nothing in the pod calls the Kubernetes API; workload identity does not need it.
            automount_service_account_token=False,
            enable_service_links=False,
            termination_grace_period_seconds=grace_period_seconds(args.request_timeout_seconds),
            security_context=core.v1.PodSecurityContextArgs(
                run_as_non_root=True,
                run_as_user=USER_ID,
                run_as_group=USER_ID,
                fs_group=USER_ID,
                seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
            ),
            topology_spread_constraints=[
                core.v1.TopologySpreadConstraintArgs(
                    max_skew=1,
                    topology_key=key,
                    when_unsatisfiable="ScheduleAnyway",
                    label_selector=meta.v1.LabelSelectorArgs(match_labels=LABELS),
                )
                for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
            ],
            containers=[_container(args)],
            volumes=[
                core.v1.VolumeArgs(
                    name="config",
                    config_map=core.v1.ConfigMapVolumeSourceArgs(name=args.config_name),
                ),
                core.v1.VolumeArgs(
                    name="tmp", empty_dir=core.v1.EmptyDirVolumeSourceArgs(size_limit="1Gi")
                ),
                *(fuse_volumes(args.bucket) if fuse else []),
            ],
        ),
    )


def _container(args: PodArgs) -> core.v1.ContainerArgs:
    memory = f"{args.memory_gib}Gi"
    mounts = [
        core.v1.VolumeMountArgs(name="config", mount_path=CONFIG_FOLDER, read_only=True),
        core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp"),
        *([fuse_mount()] if args.model_access == "fuse" else []),
    ]
    return core.v1.ContainerArgs(
        name=_CONTAINER,
        image=args.image,
        args=server_arguments(
            cpus=args.cpus, queue=args.queue, request_timeout=args.request_timeout_seconds
        ),
        env=[_from_config(name, args.config_name) for name in ("MODEL_NAME", "MODEL_PATH")],
        ports=[
            core.v1.ContainerPortArgs(name="grpc", container_port=GRPC_PORT),
            core.v1.ContainerPortArgs(name="rest", container_port=REST_PORT),
        ],
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": str(args.cpus), "memory": memory},
            # The computing threads match the request; an equal limit would throttle the others,
            # which only wait and answer.
            limits={"cpu": str(args.node_cpus), "memory": memory},
        ),
        startup_probe=_probe(
            PROBE_PERIOD_SECONDS,
            pulumi.Output.from_input(args.model_bytes).apply(
                lambda size: startup_failure_threshold(size, args.request_timeout_seconds)
            ),
        ),
        readiness_probe=_probe(PROBE_PERIOD_SECONDS, _READINESS_FAILURES),
        liveness_probe=_probe(_LIVENESS_PERIOD_SECONDS, _LIVENESS_FAILURES),
        lifecycle=core.v1.LifecycleArgs(
            pre_stop=core.v1.LifecycleHandlerArgs(
                exec_=core.v1.ExecActionArgs(command=["/bin/bash", "-c", pre_stop_script()])
            )
        ),
        security_context=core.v1.SecurityContextArgs(
            allow_privilege_escalation=False,
            privileged=False,
            read_only_root_filesystem=True,
            capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
        ),
        volume_mounts=mounts,
    )


def _probe(period: int, failures: pulumi.Input[int]) -> core.v1.ProbeArgs:
    """Probes the status endpoint, which has threads to spare while requests wait."""
    return core.v1.ProbeArgs(
        http_get=core.v1.HTTPGetActionArgs(path=STATUS_PATH, port="rest"),
        period_seconds=period,
        timeout_seconds=_PROBE_TIMEOUT_SECONDS,
        failure_threshold=failures,
    )


def _from_config(name: str, config_name: pulumi.Input[str]) -> core.v1.EnvVarArgs:
    return core.v1.EnvVarArgs(
        name=name,
        value_from=core.v1.EnvVarSourceArgs(
            config_map_key_ref=core.v1.ConfigMapKeySelectorArgs(name=config_name, key=name)
        ),
    )
