"""The front: one web service on the system pool, with the page, the jobs and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apps, core, meta

from infra.settings.gke import NAMESPACE, POOL_LABEL, SYSTEM_POOL
from infra.settings.knative import WORKERS
from infra.settings.time_budget import TimeBudget
from serving.containers.pod import without_root
from serving.containers.web import command_line, web_container
from serving.containers.web_keys import KEYS_FILE, keys_volume, secret_volume
from serving.names import FRONT, FRONT_LABELS, WEB_METRICS_PORT, WEB_PORT
from serving.timing import MODEL_WAIT_SECONDS, delete_timeout_seconds, grace_period_seconds
from serving.workloads.rollout import Rollout, RolloutArgs, revision_of

WORKER_URL = f"http://{WORKERS}.{NAMESPACE}.svc.cluster.local"
KEY = "front-key"
"""The Secret with the front's own key, which its workers know by its hash."""
KEY_FILE = "key"
DESCRIPTION = "model-description"
DESCRIPTION_FILE = "description.json"
_KEY_FOLDER = f"/etc/{KEY}"
_DESCRIPTION_FOLDER = f"/etc/{DESCRIPTION}"


@dataclass(frozen=True)
class FrontArgs:
    """workers: the most; queue: of jobs. kubeconfig: to wait for the pod; description_name: of the
    ConfigMap with what the model says about itself; after: what the pod mounts.
    """

    kubeconfig: pulumi.Input[str]
    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    description_name: pulumi.Input[str]
    workers: int
    queue: int
    budget: TimeBudget
    after: Sequence[pulumi.Resource]


class Front(pulumi.ComponentResource):
    """One pod, since a job and its pictures are in its memory."""

    rollout: Rollout
    """What needs a front that serves depends on it."""

    def __init__(
        self, name: str, args: FrontArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:serving:Front", name, {}, opts)
        template = _template(args)
        deployment = apps.v1.Deployment(
            f"{name}-{FRONT}",
            metadata=meta.v1.ObjectMetaArgs(
                name=FRONT,
                namespace=args.namespace,
                labels=FRONT_LABELS,
                # `Rollout` waits for the pod.
                annotations={"pulumi.com/skipAwait": "true"},
            ),
            spec=apps.v1.DeploymentSpecArgs(
                replicas=1,
                selector=meta.v1.LabelSelectorArgs(match_labels=FRONT_LABELS),
                strategy=apps.v1.DeploymentStrategyArgs(type="Recreate"),
                revision_history_limit=0,
                template=template,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                custom_timeouts=pulumi.CustomTimeouts(
                    delete=f"{delete_timeout_seconds(args.budget.job)}s"
                ),
            ),
        )
        self.rollout = Rollout(
            f"{name}-{FRONT}",
            RolloutArgs(
                kubeconfig=args.kubeconfig,
                namespace=args.namespace,
                deployment=FRONT,
                uid=deployment.metadata.uid,
                revision=revision_of(template),
                deadline_seconds=grace_period_seconds(args.budget.job) + MODEL_WAIT_SECONDS,
            ),
            pulumi.ResourceOptions(parent=self, depends_on=[deployment]),
        )
        self.register_outputs({})


def front_arguments(args: FrontArgs) -> list[str]:
    return command_line(
        {
            "role": "front",
            "worker-url": WORKER_URL,
            "workers": args.workers,
            "worker-key-file": f"{_KEY_FOLDER}/{KEY_FILE}",
            "model-description": f"{_DESCRIPTION_FOLDER}/{DESCRIPTION_FILE}",
            "host": "0.0.0.0",
            "port": WEB_PORT,
            "metrics-port": WEB_METRICS_PORT,
            "keys-file": KEYS_FILE,
            "queue": args.queue,
            "deadline": args.budget.job,
            "stop-timeout": args.budget.job,
        }
    )


def _template(args: FrontArgs) -> core.v1.PodTemplateSpecArgs:
    return core.v1.PodTemplateSpecArgs(
        metadata=meta.v1.ObjectMetaArgs(labels=FRONT_LABELS),
        spec=core.v1.PodSpecArgs(
            automount_service_account_token=False,
            enable_service_links=False,
            termination_grace_period_seconds=grace_period_seconds(args.budget.job),
            node_selector={POOL_LABEL: SYSTEM_POOL},
            security_context=without_root(),
            containers=[
                web_container(
                    image=args.image,
                    arguments=front_arguments(args),
                    mounts=[_mount(KEY, _KEY_FOLDER), _mount(DESCRIPTION, _DESCRIPTION_FOLDER)],
                )
            ],
            volumes=[
                keys_volume(),
                secret_volume(KEY, KEY),
                core.v1.VolumeArgs(
                    name=DESCRIPTION,
                    config_map=core.v1.ConfigMapVolumeSourceArgs(name=args.description_name),
                ),
            ],
        ),
    )


def _mount(name: str, folder: str) -> core.v1.VolumeMountArgs:
    return core.v1.VolumeMountArgs(name=name, mount_path=folder, read_only=True)
