"""`WebImage`: the web service's image in a registry, made without Docker.

What it consists of is known without a network: the service's files, the lock of its packages, the
base image and the version of Python. Another image replaces it, so that the old one is deleted
once nothing runs it any more.

The stack's state names the provider by this module and class: do not move or rename either.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import (
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
)

from console import provider_process, say
from container_image.sources import content_identity
from infra.image.surroundings import in_one_line, surroundings

IMAGE_NAME = "web"
_INPUTS = ("content", "base", "python", "repository")


class WebImage(Resource, module="diffusion", name="WebImage"):
    """reference: the image with its digest, such as registry.example/diffusion/web@sha256:…"""

    reference: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        base: pulumi.Input[str],
        python: str,
        repository: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """base: with its digest, see `BaseImage`; python: the base's version, such as 3.13;

        repository: such as us-central1-docker.pkg.dev/my-project/diffusion.
        """
        inputs = {
            "content": content_identity(),
            "base": base,
            "python": python,
            "repository": repository,
            "reference": None,
        }
        super().__init__(WebImageProvider(), name, inputs, opts)


class WebImageProvider(ResourceProvider):
    """Makes, looks for and deletes images. Has no fields, since it is pickled into the state."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        provider_process.adapt()

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        changed = [key for key in _INPUTS if _olds.get(key) != _news.get(key)]
        return DiffResult(changes=bool(changed), replaces=changed, delete_before_replace=False)

    def create(self, props: dict[str, Any]) -> CreateResult:
        from container_image.publish import Request, publish

        request = Request(
            base=str(props["base"]),
            python=str(props["python"]),
            repository=f"{props['repository']}/{IMAGE_NAME}",
            content=str(props["content"]),
        )
        with in_one_line():
            made = str(publish(request, surroundings(str(props["repository"]))))
        return CreateResult(made, {**props, "reference": made})

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Gone only if the registry says so: one that does not answer is no reason to push."""
        from container_image import reference
        from container_image.errors import ImageError

        made = reference.parse(str(props["reference"]))
        try:
            with surroundings(str(props["repository"])).repository(made) as repository:
                exists = repository.has_manifest(made.digest)
        except ImageError as error:
            say(f"cannot look for the web service's image: {error}")
            exists = True
        return ReadResult(id_, props) if exists else ReadResult("", {})

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Also if it, or its whole repository, is gone already."""
        from container_image import reference
        from container_image.errors import KeptError

        made = reference.parse(str(_props["reference"]))
        with in_one_line():
            around = surroundings(str(_props["repository"]))
            with around.repository(made) as repository:
                try:
                    repository.delete_manifest(made.digest)
                except KeptError as error:
                    say(f"keeping {made}: {error}")
