"""The workers as Knative runs them: their Service, and what its revisions' pods use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, core, meta, networking

from infra.settings import keys
from infra.settings.gke import GkeSettings
from infra.settings.knative import WORKERS, KnativeSettings
from infra.settings.time_budget import TimeBudget
from serving.containers.server_config import ModelSource, server_files
from serving.containers.web_keys import keys_secret
from serving.from_settings import pod_shape
from serving.knative import worker
from serving.knative.monitoring import worker_monitoring
from serving.knative.network_policy import worker_policy
from serving.knative.revision import Scale, revision_name, template, traffic
from serving.names import LABELS, WORKER, WORKER_LABELS
from serving.namespace import Namespace
from serving.tensorflow_serving.image import image
from serving.timing import delete_timeout_seconds, longest_progress_seconds, progress_seconds

_PRIVATE = {"networking.knative.dev/visibility": "cluster-local"}
"""Without it, Knative's gateway has a route for clients outside the cluster, too."""
_CREATE_MARGIN_SECONDS = 600


@dataclass(frozen=True)
class WorkersArgs:
    """is_open: whether clients outside the cluster reach them. after: what their pods need."""

    settings: GkeSettings
    knative_settings: KnativeSettings
    budget: TimeBudget
    namespace: Namespace
    model: ModelSource
    fingerprint: pulumi.Input[str]
    web_image: pulumi.Input[str]
    is_open: bool
    after: Sequence[pulumi.Resource]


class Workers:
    """They come and go: from none to the most that the settings allow."""

    service: pulumi.Resource
    """What needs a worker that serves depends on it."""
    revision: pulumi.Output[str]
    """The newest revision's name."""

    def __init__(self, name: str, args: WorkersArgs, opts: pulumi.ResourceOptions) -> None:
        namespace = args.namespace.name
        config = core.v1.ConfigMap(
            f"{name}-{WORKER}",
            metadata=meta.v1.ObjectMetaArgs(namespace=namespace, labels=LABELS),
            immutable=True,
            data=server_files(queue=1),
            # An earlier revision may need the earlier one; it goes with the namespace.
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=True)),
        )
        own_key = keys.hashed(keys.FRONT, args.settings.front_key)
        secret = keys_secret(
            name,
            namespace=namespace,
            keys=[*args.settings.keys, own_key],
            opts=opts,
            secret_name=worker.KEYS,
        )
        policy = networking.v1.NetworkPolicy(
            f"{name}-{WORKER}",
            metadata=meta.v1.ObjectMetaArgs(name=WORKER, namespace=namespace),
            spec=worker_policy(),
            opts=opts,
        )
        worker_monitoring(f"{name}-{WORKER}", namespace=namespace, opts=opts)
        unnamed = _template(args, config.metadata.name)
        self.revision = revision_name(unnamed, args.fingerprint)
        create_seconds = longest_progress_seconds(args.budget.request) + _CREATE_MARGIN_SECONDS
        self.service = apiextensions.CustomResource(
            WORKERS,
            api_version="serving.knative.dev/v1",
            kind="Service",
            metadata=meta.v1.ObjectMetaArgs(
                name=WORKERS,
                namespace=namespace,
                labels=WORKER_LABELS if args.is_open else WORKER_LABELS | _PRIVATE,
                annotations={
                    "pulumi.com/waitFor": "condition=Ready",
                    # Until all that Knative made for it is gone, which its controllers end.
                    "pulumi.com/deletionPropagationPolicy": "foreground",
                },
            ),
            spec={
                "template": {
                    **unnamed,
                    "metadata": {**unnamed["metadata"], "name": self.revision},
                },
                "traffic": self.revision.apply(
                    lambda newest: traffic(args.knative_settings, newest)
                ),
            },
            opts=pulumi.ResourceOptions.merge(
                opts,
                pulumi.ResourceOptions(
                    depends_on=[secret, policy, *args.after],
                    custom_timeouts=pulumi.CustomTimeouts(
                        create=f"{create_seconds}s",
                        update=f"{create_seconds}s",
                        delete=f"{delete_timeout_seconds(args.budget.revision)}s",
                    ),
                ),
            ),
        )


def _template(args: WorkersArgs, config_name: pulumi.Input[str]) -> dict[str, Any]:
    settings, budget = args.settings, args.budget
    pod = worker.worker_pod(
        worker.WorkerArgs(
            image=image(settings.image_digest),
            web_image=args.web_image,
            service_account=args.namespace.service_account,
            config_name=config_name,
            model=args.model,
            shape=pod_shape(settings),
            budget=budget,
        )
    )
    scale = Scale(settings.pod.min_replicas, settings.pod.max_replicas)
    progress = pulumi.Output.from_input(args.model.size_bytes).apply(
        lambda size: progress_seconds(size, budget.request)
    )
    return template(pod, worker.worker_annotations(args.model), scale, budget, progress)
