"""The local target: background servers on this machine, as Pulumi resources.

People's states name the providers as `infra.local.LocalModelServerProvider` and
`infra.local.LocalWebServiceProvider`. They are imported on first use, since most of this package
works without Pulumi.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infra.local.model_server import LocalModelServerProvider
    from infra.local.web_service import LocalWebServiceProvider

__all__ = ["LocalModelServerProvider", "LocalWebServiceProvider"]

_MODULES = {"LocalModelServerProvider": "model_server", "LocalWebServiceProvider": "web_service"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
