"""The pod, a model server and a web service, as a template for any workload."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core, meta

from infra.settings.gke import POOL_LABEL, SERVING_POOL
from infra.settings.stack import ServerSettings
from serving.containers.model_server import PodShape, model_server
from serving.containers.model_volume import FUSE_ANNOTATIONS, USER_ID, bucket_volume, cache_volume
from serving.containers.model_wait import model_wait
from serving.containers.server_config import ModelSource, config_volume, from_config
from serving.containers.web import web_arguments, web_container
from serving.containers.web_keys import keys_volume
from serving.names import LABELS, PORTS
from serving.timing import grace_period_seconds


@dataclass(frozen=True)
class PodArgs:
    """What a pod runs, and where. config_name: of the ConfigMap with its configuration.

    exposed: whether others than the web service send requests to the model server.
    """

    image: str
    web_image: pulumi.Input[str]
    service_account: pulumi.Input[str]
    config_name: pulumi.Input[str]
    model: ModelSource
    shape: PodShape
    server: ServerSettings
    exposed: bool


def pod_template(args: PodArgs) -> core.v1.PodTemplateSpecArgs:
    """The template, with everything but the number of pods."""
    fuse = args.model.access == "fuse"
    name, path = (from_config(key, args.config_name) for key in ("MODEL_NAME", "MODEL_PATH"))
    return core.v1.PodTemplateSpecArgs(
        metadata=meta.v1.ObjectMetaArgs(
            labels=LABELS, annotations=FUSE_ANNOTATIONS if fuse else None
        ),
        spec=core.v1.PodSpecArgs(
            service_account_name=args.service_account,
            # Nothing in the pod calls the Kubernetes API; workload identity does not need it.
            automount_service_account_token=False,
            enable_service_links=False,
            termination_grace_period_seconds=grace_period_seconds(
                args.server.request_timeout_seconds
            ),
            node_selector={POOL_LABEL: SERVING_POOL},
            tolerations=[toleration()],
            security_context=without_root(),
            topology_spread_constraints=[
                core.v1.TopologySpreadConstraintArgs(
                    max_skew=1,
                    topology_key=key,
                    when_unsatisfiable="ScheduleAnyway",
                    label_selector=meta.v1.LabelSelectorArgs(match_labels=LABELS),
                )
                for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
            ],
            init_containers=[model_wait(image=args.image, env=[path], model=args.model)],
            containers=[
                model_server(
                    image=args.image,
                    env=[name, path],
                    ports=PORTS,
                    model=args.model,
                    shape=args.shape,
                    server=args.server,
                    exposed=args.exposed,
                ),
                web_container(image=args.web_image, arguments=web_arguments(args.server)),
            ],
            volumes=[
                *server_volumes(args.config_name, args.model),
                keys_volume(),
                *([cache_volume()] if fuse else []),
            ],
        ),
    )


def toleration() -> core.v1.TolerationArgs:
    """Of the taint of the nodes that draw."""
    return core.v1.TolerationArgs(
        key=POOL_LABEL, operator="Equal", value=SERVING_POOL, effect="NoSchedule"
    )


def without_root() -> core.v1.PodSecurityContextArgs:
    return core.v1.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=USER_ID,
        run_as_group=USER_ID,
        fs_group=USER_ID,
        seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
    )


def server_volumes(config_name: pulumi.Input[str], model: ModelSource) -> list[core.v1.VolumeArgs]:
    """What the model server's container mounts."""
    return [
        config_volume(config_name),
        core.v1.VolumeArgs(
            name="tmp", empty_dir=core.v1.EmptyDirVolumeSourceArgs(size_limit="1Gi")
        ),
        *([bucket_volume(model.bucket)] if model.access == "fuse" else []),
    ]
