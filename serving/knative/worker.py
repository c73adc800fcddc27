"""The pod of a worker: a model server and a web service that draws one picture at a time."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core

from infra.settings.gke import POOL_LABEL, SERVING_POOL
from infra.settings.stack import ServerSettings
from infra.settings.time_budget import MARGIN_SECONDS, TimeBudget
from model_export.spec import MODEL_NAME
from serving.containers.model_server import PodShape, model_server
from serving.containers.model_volume import FUSE_ANNOTATIONS
from serving.containers.model_wait import model_wait
from serving.containers.pod import server_volumes, toleration, without_root
from serving.containers.server_config import ModelSource, path_of
from serving.containers.web import command_line, web_container
from serving.containers.web_keys import KEYS_FILE, keys_volume
from serving.names import GRPC_PORT, WEB_METRICS_PORT, WEB_PORT

KEYS = "worker-keys"
"""The Secret with the hashes of those who may use a worker, the front among them."""
PORT = {"http1": WEB_PORT}
"""The only port that a pod of Knative may declare, by a name that Knative knows."""
_QUIET_SECONDS = 30
"""How long queue-proxy goes on after the last request came. Only then is the worker told to stop,
and the grace period has begun before."""


@dataclass(frozen=True)
class WorkerArgs:
    """config_name: of the ConfigMap with the server's files."""

    image: str
    web_image: pulumi.Input[str]
    service_account: pulumi.Input[str]
    config_name: pulumi.Input[str]
    model: ModelSource
    shape: PodShape
    budget: TimeBudget


def worker_annotations(model: ModelSource) -> dict[str, str]:
    """What the pod asks of GKE."""
    return dict(FUSE_ANNOTATIONS) if model.access == "fuse" else {}


def worker_pod(args: WorkerArgs) -> dict[str, pulumi.Input[object]]:
    """The fields of a pod's spec that Knative lets a revision set, by the API's names.

    Knative itself sets the grace period, to the revision's time-out, and what runs before a stop.
    Its schema has no other one for a container whose probe failed.
    """
    name = core.v1.EnvVarArgs(name="MODEL_NAME", value=MODEL_NAME)
    # Not from the ConfigMap: an earlier revision starts pods of the model that it was made with.
    path = core.v1.EnvVarArgs(name="MODEL_PATH", value=path_of(args.model))
    server = ServerSettings(queue=1, request_timeout_seconds=args.budget.request)
    return {
        "serviceAccountName": args.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": {POOL_LABEL: SERVING_POOL},
        "tolerations": [toleration()],
        "securityContext": without_root(),
        "initContainers": [model_wait(image=args.image, env=[path], model=args.model)],
        "containers": [
            web_container(
                image=args.web_image,
                arguments=worker_arguments(args.budget),
                ports=PORT,
                removal_seconds=0,
                failed_grace=None,
            ),
            model_server(
                image=args.image,
                env=[name, path],
                ports={},
                model=args.model,
                shape=args.shape,
                server=server,
                exposed=False,
                failed_grace=None,
            ),
        ],
        # Knative refuses a volume that none of its containers mounts, such as GCS FUSE's cache.
        "volumes": [*server_volumes(args.config_name, args.model), keys_volume(KEYS)],
    }


def worker_arguments(budget: TimeBudget) -> list[str]:
    """It ends a job by itself, before Knative's timers do; a stop leaves time for those that
    Knative has queued in front of it."""
    return command_line(
        {
            "role": "worker",
            "model-server": f"127.0.0.1:{GRPC_PORT}",
            "model-name": MODEL_NAME,
            "host": "0.0.0.0",
            "port": WEB_PORT,
            "metrics-port": WEB_METRICS_PORT,
            "keys-file": KEYS_FILE,
            "deadline": budget.request,
            "draw-deadline": budget.job,
            "stop-timeout": budget.revision - _QUIET_SECONDS - MARGIN_SECONDS,
        }
    )
