"""`BaseImage`: which image a tag means, looked up once and kept.

A tag's image changes from day to day, and with it every image on top of it: the stack stays with
the one that it has found until another tag is set.

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

from console import provider_process
from infra.image.surroundings import in_one_line, surroundings


class BaseImage(Resource, module="diffusion", name="BaseImage"):
    """pinned: the image for Linux on x86-64, with its digest."""

    pinned: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        image: str,
        repository: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """image: with a tag or a digest; repository: where the image on top of it goes."""
        inputs = {"image": image, "repository": repository, "pinned": None}
        super().__init__(BaseImageProvider(), name, inputs, opts)


class BaseImageProvider(ResourceProvider):
    """Has no fields, since it is pickled into the state."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        provider_process.adapt()

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        changed = ["image"] if _olds.get("image") != _news.get("image") else []
        return DiffResult(changes=bool(changed), replaces=changed, delete_before_replace=False)

    def create(self, props: dict[str, Any]) -> CreateResult:
        from container_image import base, reference

        with in_one_line():
            named = reference.parse(str(props["image"]))
            around = surroundings(str(props["repository"]))
            with around.repository(named) as repository:
                pinned = str(base.resolve(repository, named))
        return CreateResult(pinned, {**props, "pinned": pinned})

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        return ReadResult(id_, props)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Only the stack's knowledge."""
