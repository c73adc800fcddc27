"""The repository for the web service's image, which nodes may read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import artifactregistry

READER_ROLE = "roles/artifactregistry.reader"
_MOST_LETTERS = 63


@dataclass(frozen=True)
class ImageRepositoryArgs:
    """node_service_account: the email of the account whose nodes pull the image."""

    project: str
    region: pulumi.Input[str]
    node_service_account: pulumi.Input[str]
    after: Sequence[pulumi.Resource]


class ImageRepository(pulumi.ComponentResource):
    """In the cluster's region, for this stack alone: it is deleted with its images."""

    url: pulumi.Output[str]
    """What the names of its images begin with."""

    def __init__(
        self, name: str, args: ImageRepositoryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:ImageRepository", name, {}, opts)
        repository = artifactregistry.Repository(
            name,
            location=args.region,
            repository_id=repository_id(pulumi.get_stack()),
            format="DOCKER",
            description="The web service of diffusion-serving",
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        artifactregistry.RepositoryIamMember(
            name,
            location=args.region,
            repository=repository.repository_id,
            role=READER_ROLE,
            member=pulumi.Output.format("serviceAccount:{0}", args.node_service_account),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.url = pulumi.Output.format(
            "{0}-docker.pkg.dev/{1}/{2}", args.region, args.project, repository.repository_id
        )
        self.register_outputs({"url": self.url})


def repository_id(stack: str) -> str:
    """Unlike other resources' names, Pulumi does not make this one unique."""
    name = re.sub(r"[^a-z0-9]+", "-", f"diffusion-{stack.lower()}")
    return name[:_MOST_LETTERS].strip("-")
