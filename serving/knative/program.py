"""Knative on the platform's cluster, and the service that it runs."""

from __future__ import annotations

import pulumi

from infra.gke.knative.installation import Knative, KnativeArgs
from infra.gke.knative.webhooks import webhook_firewall
from infra.gke.platform import Platform
from infra.gke.web_image import web_image
from infra.settings.stack import Settings
from model_export.description import description
from model_export.kept import KeptModel
from model_export.resource import ModelExport
from serving.access.gateway import Frontend
from serving.containers.server_config import ModelSource
from serving.knative.gateway import domain
from serving.knative.service import KnativeModelService, KnativeModelServiceArgs
from serving.timing import longest_progress_seconds


def knative_service(
    configured: Settings,
    platform: Platform,
    model: ModelExport,
    source: ModelSource,
    frontend: Frontend | None,
    opts: pulumi.ResourceOptions,
) -> KnativeModelService:
    """The service. `configured` is of a stack on GKE in the mode knative."""
    settings, budget = configured.gke, configured.time_budget
    assert settings is not None and settings.knative is not None and budget is not None
    after: list[pulumi.Resource] = [platform.reader]
    stable = settings.knative.stable_fingerprint
    if stable:
        models = platform.bucket.models_url
        after.append(KeptModel("stable-model", destination=models, fingerprint=stable))
    cluster = platform.cluster.resource
    address = platform.worker_address
    webhooks = webhook_firewall(
        "knative-webhooks",
        platform.network.network_id,
        cluster.private_cluster_config.master_ipv4_cidr_block,
        pulumi.ResourceOptions(parent=platform),
    )
    knative = Knative(
        "knative",
        KnativeArgs(
            cluster=cluster,
            cluster_version=cluster.master_version,
            most_workers=settings.pod.max_replicas,
            progress_seconds=longest_progress_seconds(budget.request),
            domain=None if address is None else domain(address),
            after=[webhooks],
        ),
        opts,
    )
    return KnativeModelService(
        "diffusion",
        KnativeModelServiceArgs(
            settings=settings,
            knative_settings=settings.knative,
            budget=budget,
            queue=configured.server.queue,
            model=source,
            fingerprint=model.fingerprint,
            description=model.fingerprint.apply(lambda found: description(configured.model, found)),
            web_image=web_image(settings, platform),
            cluster=cluster,
            kubeconfig=platform.cluster.kubeconfig,
            address=platform.address,
            frontend=frontend,
            worker_address=address,
            knative=knative.serving,
            after=after,
        ),
        opts,
    )
