"""A registered resource as the rules see it, and how to read inputs that may lack anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

_CORE = ("core", "v1")
"""The API group of Pods and Services: in the SDK's types, and where a custom resource names it."""


@dataclass(frozen=True)
class Resource:
    """One resource: its inputs, and its Kubernetes or cloud name if it has one."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    protect: bool = False
    object_name: str = ""

    @property
    def kind(self) -> str:
        """The last part of the type, like `Deployment`."""
        return self.type.rpartition(":")[2]

    @property
    def is_kubernetes(self) -> bool:
        return self.type.startswith("kubernetes:")

    def is_core(self, kind: str) -> bool:
        """Whether it is this kind of Kubernetes' own: Knative, too, has a Service."""
        group = self.type.removeprefix("kubernetes:").partition(":")[0].partition("/")[0]
        return self.is_kubernetes and self.kind == kind and group in _CORE

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


Rule = Callable[[Sequence[Resource]], list[str]]


# The Pulumi CLI gives a pack mappings and sequences of its own, which raise an error when a value
# is read that a preview does not know. So the rules read what they need and nothing else.


def mapping(value: Any, *path: str) -> Mapping[str, Any]:
    """The mapping at this path; an empty one where there is none."""
    for key in path:
        value = mapping(value).get(key)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The mappings in a list; none where there is no list."""
    return [mapping(one) for one in _list(value)]


def texts(value: Any) -> list[str]:
    """What is in a list, as texts; none where there is no list."""
    return [str(one) for one in _list(value)]


def _list(value: Any) -> Sequence[Any]:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return cast("Sequence[Any]", value) if is_list else ()
