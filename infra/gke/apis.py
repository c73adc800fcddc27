"""Enables the Google Cloud APIs that the program needs."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_gcp import projects

APIS = (
    "artifactregistry.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "compute.googleapis.com",
    "container.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "storage.googleapis.com",
)


@dataclass(frozen=True)
class ApisArgs:
    """project: the project's ID."""

    project: pulumi.Input[str]


class Apis(pulumi.ComponentResource):
    """The enabled APIs. They stay enabled after a destroy, since other programs may need them."""

    def __init__(
        self, name: str, args: ApisArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:Apis", name, {}, opts)
        for api in APIS:
            projects.Service(
                f"{name}-{api.partition('.')[0]}",
                project=args.project,
                service=api,
                disable_on_destroy=False,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})
