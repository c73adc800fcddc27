"""Knative, installed by its operator, as a component."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apiextensions, core, helm, meta

from infra.gke.knative.configuration import API_VERSION, NAMESPACE, knative_serving
from infra.gke.knative.monitoring import control_plane_monitoring
from infra.gke.knative.versions import KNATIVE, LEAST_KUBERNETES, require_kubernetes

CHART_REPOSITORY = "https://knative.github.io/operator"
_CHART = "knative-operator"
_INSTALL_MINUTES = 20


@dataclass(frozen=True)
class KnativeArgs:
    """cluster: with which all but the load balancer is deleted, and its Kubernetes version.

    most_workers, progress_seconds: the limits of a revision. domain: below which the workers have
    an address; None if they are private. after: what lets the API server call Knative's webhooks.
    """

    cluster: pulumi.Resource
    cluster_version: pulumi.Output[str]
    most_workers: int
    progress_seconds: int
    domain: pulumi.Output[str] | None
    after: Sequence[pulumi.Resource]


class Knative(pulumi.ComponentResource):
    """The operator, and Knative, which that installs.

    What Knative runs depends on it, and so is deleted first: the operator must still be there to
    end Knative, which must still be there to end its Services.
    """

    serving: apiextensions.CustomResource
    """What Knative runs depends on it."""

    def __init__(
        self, name: str, args: KnativeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:Knative", name, {}, opts)
        in_cluster = pulumi.ResourceOptions(parent=self, deleted_with=args.cluster)
        operator = _operator(name, args, in_cluster)
        namespace = core.v1.Namespace(
            f"{name}-serving",
            metadata=meta.v1.ObjectMetaArgs(name=NAMESPACE),
            opts=pulumi.ResourceOptions.merge(
                in_cluster, pulumi.ResourceOptions(depends_on=[operator])
            ),
        )
        self.serving = apiextensions.CustomResource(
            f"{name}-serving",
            api_version=API_VERSION,
            kind="KnativeServing",
            metadata=meta.v1.ObjectMetaArgs(
                name=NAMESPACE,
                namespace=namespace.metadata.name,
                annotations={"pulumi.com/waitFor": "condition=Ready"},
            ),
            spec=pulumi.Output.from_input(args.domain or "").apply(
                lambda domain: knative_serving(
                    most_workers=args.most_workers,
                    progress_seconds=args.progress_seconds,
                    domain=domain,
                )
            ),
            opts=pulumi.ResourceOptions.merge(
                in_cluster,
                pulumi.ResourceOptions(
                    depends_on=[operator],
                    custom_timeouts=pulumi.CustomTimeouts(
                        create=f"{_INSTALL_MINUTES}m",
                        update=f"{_INSTALL_MINUTES}m",
                        delete=f"{_INSTALL_MINUTES}m",
                    ),
                ),
            ),
        )
        control_plane_monitoring(name, self.serving, in_cluster)
        self.register_outputs({})


def _operator(name: str, args: KnativeArgs, opts: pulumi.ResourceOptions) -> helm.v3.Release:
    return helm.v3.Release(
        f"{name}-operator",
        chart=_CHART,
        name=_CHART,
        # Depends on the version, so that nothing is installed on a cluster that is too old.
        namespace=args.cluster_version.apply(require_kubernetes).apply(lambda _: _CHART),
        create_namespace=True,
        version=f"v{KNATIVE}",
        repository_opts=helm.v3.RepositoryOptsArgs(repo=CHART_REPOSITORY),
        # The chart's own default would lower the floor that Knative's binaries check.
        values={"knative_operator": {"kubernetes_min_version": f"v{LEAST_KUBERNETES}.0"}},
        timeout=_INSTALL_MINUTES * 60,
        opts=pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(depends_on=list(args.after))
        ),
    )
