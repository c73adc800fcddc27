"""The local target: a background server process on this machine, as a Pulumi resource.

People's states name the provider as `infra.local.LocalModelServerProvider`. It is imported on first
use, since most of this package works without Pulumi.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infra.local.resource import LocalModelServerProvider

__all__ = ["LocalModelServerProvider"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from infra.local import resource

    return getattr(resource, name)
