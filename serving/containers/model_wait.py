"""The init container that waits until the server can read its model, and logs what is missing."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes import core

from infra.settings.gke import NAMESPACE, READER_ROLE, SERVICE_ACCOUNT
from serving.containers.model_server import locked_down
from serving.containers.model_volume import fuse_mount
from serving.containers.server_config import ModelSource, config_mount
from serving.tensorflow_serving.model_wait import wait_command
from serving.timing import MODEL_WAIT_SECONDS

NAME = "wait-for-model"


def model_wait(
    *, image: str, env: Sequence[core.v1.EnvVarArgs], model: ModelSource
) -> core.v1.ContainerArgs:
    """The container, in the server's own image. env: where the model is."""
    return core.v1.ContainerArgs(
        name=NAME,
        image=image,
        command=wait_command(
            reader=f"{NAMESPACE}/{SERVICE_ACCOUNT}",
            role=READER_ROLE,
            up=f"make up STACK={pulumi.get_stack()}",
            patience_seconds=MODEL_WAIT_SECONDS,
        ),
        env=list(env),
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": "100m", "memory": "64Mi"}, limits={"cpu": "1", "memory": "128Mi"}
        ),
        security_context=locked_down(),
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=[config_mount(), *([fuse_mount()] if model.access == "fuse" else [])],
    )
