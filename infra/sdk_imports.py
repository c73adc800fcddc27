"""Importing of the cloud SDKs only what a program names.

An SDK's package imports the module of each of its resources, hundreds of them, which takes most of
the time in which a stack's graph is declared. While a stack of ours is declared, each package is
stood in for by one that imports a resource's module when that resource is asked for. The classes
are the SDK's own.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from types import ModuleType
from typing import Any

SDK_PACKAGES = (
    "pulumi_gcp.compute",
    "pulumi_gcp.container",
    "pulumi_gcp.organizations",
    "pulumi_gcp.projects",
    "pulumi_gcp.serviceaccount",
    "pulumi_gcp.storage",
    "pulumi_kubernetes.apps.v1",
    "pulumi_kubernetes.autoscaling.v2",
    "pulumi_kubernetes.core.v1",
    "pulumi_kubernetes.meta.v1",
    "pulumi_kubernetes.networking.v1",
    "pulumi_kubernetes.policy.v1",
)

_OUTPUTS = "outputs"
"""A module that the others import by its name."""
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def import_on_demand(packages: tuple[str, ...] = SDK_PACKAGES) -> None:
    """From here on, importing one of `packages` is cheap, and so is a name of it that is used."""
    for name in packages:
        parent, _, own = name.rpartition(".")
        above = importlib.import_module(parent)
        # Plain modules are imported already; the SDK's own placeholders are of another type.
        if type(sys.modules.get(name)) is not ModuleType:
            package = _OnDemand(name)
            sys.modules[name] = package
            setattr(above, own, package)


class _OnDemand(ModuleType):
    """A package that imports the module of a name when the name is asked for."""

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
        module = f"{self.__name__}.{_module_name(self.__name__, name)}"
        if importlib.util.find_spec(module) is not None:
            found = importlib.import_module(module)
            if name == _OUTPUTS:
                return found
            if hasattr(found, name):
                setattr(self, name, getattr(found, name))
                return getattr(found, name)
        return self._by_running_the_package(name)

    def _by_running_the_package(self, name: str) -> Any:
        """For a name that is where no rule says: import all of the package after all."""
        spec = self.__spec__
        assert spec is not None and spec.loader is not None, self.__name__
        spec.loader.exec_module(self)
        if name not in self.__dict__:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return self.__dict__[name]


def _module_name(package: str, name: str) -> str:
    """The SDKs' rule: a module for each resource, and one for all arguments."""
    if name.endswith("Args"):
        return "_inputs"
    if package.startswith("pulumi_kubernetes."):
        return name
    return _WORD.sub("_", name).lower().removesuffix("_output")
