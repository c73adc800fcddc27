"""Imports only the used parts of the cloud SDKs.

An SDK's package imports hundreds of resource modules, which takes most of the program's time. So
each package is replaced by a placeholder that imports a resource's module on first use. The
classes are the SDK's own.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import re
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

SDK_PACKAGES = (
    "pulumi_gcp.artifactregistry",
    "pulumi_gcp.compute",
    "pulumi_gcp.container",
    "pulumi_gcp.monitoring",
    "pulumi_gcp.projects",
    "pulumi_gcp.serviceaccount",
    "pulumi_gcp.storage",
    "pulumi_kubernetes.apiextensions",
    "pulumi_kubernetes.apps.v1",
    "pulumi_kubernetes.autoscaling.v2",
    "pulumi_kubernetes.core.v1",
    "pulumi_kubernetes.helm.v3",
    "pulumi_kubernetes.meta.v1",
    "pulumi_kubernetes.networking.v1",
    "pulumi_kubernetes.policy.v1",
)

_OUTPUTS = "outputs"
"""A module that the others import by name."""
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@contextmanager
def cloud_sdks() -> Generator[None]:
    """Within it, the cloud SDKs are imported quickly.

    Garbage collection pauses: the SDKs define tens of thousands of permanent classes, and scanning
    them over and over takes a quarter of the program's time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        import_on_demand()
        yield
    finally:
        if was_enabled:
            gc.enable()


def import_on_demand(packages: tuple[str, ...] = SDK_PACKAGES) -> None:
    """Replace `packages` with placeholders that import each name on first use."""
    for name in packages:
        parent, _, own = name.rpartition(".")
        above = importlib.import_module(parent)
        # A plain module is already imported; the SDK's own lazy placeholders have another type.
        if type(sys.modules.get(name)) is not ModuleType:
            package = _OnDemand(name)
            sys.modules[name] = package
            setattr(above, own, package)


class _OnDemand(ModuleType):
    """A package that imports the module of a name on first use."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        sys.modules.pop(name, None)
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.submodule_search_locations is not None, name
        self.__spec__ = spec
        self.__package__ = name
        self.__path__ = list(spec.submodule_search_locations)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        for module in _modules(self.__name__, name):
            if importlib.util.find_spec(module) is None:
                continue
            found = importlib.import_module(module)
            if name == _OUTPUTS:
                return found
            if hasattr(found, name):
                setattr(self, name, getattr(found, name))
                return getattr(found, name)
        return self._from_whole_package(name)

    def _from_whole_package(self, name: str) -> Any:
        """Import the whole package, for a name that follows no rule."""
        spec = self.__spec__
        assert spec is not None and spec.loader is not None, self.__name__
        spec.loader.exec_module(self)
        if name not in self.__dict__:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return self.__dict__[name]


def _modules(package: str, name: str) -> Iterator[str]:
    """Where a name is: a resource and its own arguments in a module, all others in one."""
    if name.endswith("Args"):
        yield f"{package}._inputs"
        name = name.removesuffix("Args")
    if not package.startswith("pulumi_kubernetes."):
        name = _WORD.sub("_", name).lower().removesuffix("_output")
    yield f"{package}.{name}"
