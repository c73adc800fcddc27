"""The configuration of a pod: which model, the server's config files, and the scripts."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core, meta

from infra.settings.pod import ModelAccess
from model_export.spec import MODEL_NAME
from serving.containers.model_volume import model_path
from serving.names import LABELS
from serving.tensorflow_serving.batching import batching_parameters
from serving.tensorflow_serving.flags import BATCHING_FILE, CONFIG_FOLDER, MONITORING_FILE
from serving.tensorflow_serving.monitoring import monitoring_config
from serving.tensorflow_serving.scripts import script_files


@dataclass(frozen=True)
class ModelSource:
    """Where a pod finds the model: its gs:// folder in `bucket`, and how it reads that."""

    uri: pulumi.Input[str]
    size_bytes: pulumi.Input[int]
    access: ModelAccess
    bucket: pulumi.Input[str]


def server_config(
    name: str,
    *,
    namespace: pulumi.Input[str],
    model: ModelSource,
    queue: int,
    opts: pulumi.ResourceOptions,
) -> core.v1.ConfigMap:
    """An immutable ConfigMap with an auto-generated name.

    So changed content is a new ConfigMap, which rolls out new pods.
    """
    return core.v1.ConfigMap(
        name,
        metadata=meta.v1.ObjectMetaArgs(namespace=namespace, labels=LABELS),
        immutable=True,
        data={
            "MODEL_NAME": MODEL_NAME,
            "MODEL_PATH": path_of(model),
            **server_files(queue),
        },
        opts=opts,
    )


def server_files(queue: int) -> dict[str, pulumi.Input[str]]:
    """The server's config files and the scripts, by their names."""
    return {
        BATCHING_FILE: batching_parameters(queue),
        MONITORING_FILE: monitoring_config(),
        **script_files(),
    }


def path_of(model: ModelSource) -> pulumi.Output[str]:
    """Where a pod finds the model's folder."""
    uri = pulumi.Output.from_input(model.uri)
    return uri.apply(model_path) if model.access == "fuse" else uri


def from_config(name: str, config_name: pulumi.Input[str]) -> core.v1.EnvVarArgs:
    """An environment variable with the value of the ConfigMap's key of the same name."""
    return core.v1.EnvVarArgs(
        name=name,
        value_from=core.v1.EnvVarSourceArgs(
            config_map_key_ref=core.v1.ConfigMapKeySelectorArgs(name=config_name, key=name)
        ),
    )


def config_volume(config_name: pulumi.Input[str]) -> core.v1.VolumeArgs:
    return core.v1.VolumeArgs(
        name="config", config_map=core.v1.ConfigMapVolumeSourceArgs(name=config_name)
    )


def config_mount() -> core.v1.VolumeMountArgs:
    return core.v1.VolumeMountArgs(name="config", mount_path=CONFIG_FOLDER, read_only=True)
