"""The web service's image."""

from __future__ import annotations

import pulumi

from infra.gke.platform import Platform
from infra.image.base_image import BaseImage
from infra.image.web_image import WebImage
from infra.settings.gke import GkeSettings


def web_image(settings: GkeSettings, platform: Platform) -> pulumi.Input[str]:
    """The image, with its version or digest: a ready one, or one made from this checkout."""
    if platform.images is None:
        return settings.web.image
    # After the repository's permissions too: nodes pull as soon as the image is known.
    opts = pulumi.ResourceOptions(
        parent=platform,
        depends_on=[platform.images],
        # Knative's earlier revisions need the earlier ones; they go with their repository.
        retain_on_delete=settings.knative is not None,
    )
    repository = platform.images.url
    base = BaseImage("web-base", image=settings.web.image_base, repository=repository, opts=opts)
    image = WebImage(
        "web", base=base.pinned, python=settings.web.python, repository=repository, opts=opts
    )
    return image.reference
