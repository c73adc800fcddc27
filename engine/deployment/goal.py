"""A goal: one registration by the program, and a check for unsupported features."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from engine import urn as urns
from engine.processes.wire import from_struct
from engine.values import PropertyMap, PropertyValue, special_form_in, whole_number

_DURATION = re.compile(r"([\d.]+)(h|ms|m|us|µs|ns|s)")
_UNIT_SECONDS = {
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}


@dataclass(frozen=True)
class Alias:
    """Another URN that the resource may have in the state; empty fields are the resource's own."""

    urn: str
    name: str = ""
    type: str = ""
    stack: str = ""
    project: str = ""
    parent: str = ""
    no_parent: bool = False


@dataclass(frozen=True)
class Goal:
    """A registration. An option that is None is inherited from the parent."""

    type: str
    name: str
    parent: str
    custom: bool
    inputs: PropertyMap
    dependencies: list[str]
    property_dependencies: dict[str, list[str]]
    protect: bool | None
    retain_on_delete: bool | None
    delete_before_replace: bool | None
    deleted_with: str
    ignore_changes: list[str]
    hide_diff: list[str]
    replace_on_changes: list[str]
    additional_secret_outputs: list[str]
    custom_timeouts: dict[str, float]
    aliases: list[Alias]
    source_position: str
    stack_trace: list[dict[str, str]] = field(default_factory=list[dict[str, str]])


def from_request(request: Any, root: Path) -> Goal:
    """The goal in a RegisterResourceRequest."""
    inputs = from_struct(request.object)
    given = request.propertyDependencies
    timeouts = request.customTimeouts
    return Goal(
        type=request.type,
        name=request.name,
        parent=request.parent,
        custom=request.custom,
        inputs=inputs,
        dependencies=sorted(request.dependencies),
        property_dependencies={
            key: sorted(given[key].urns) if key in given else [] for key in inputs
        },
        protect=request.protect if request.HasField("protect") else None,
        retain_on_delete=request.retainOnDelete if request.HasField("retainOnDelete") else None,
        delete_before_replace=(
            request.deleteBeforeReplace
            if request.deleteBeforeReplaceDefined or request.deleteBeforeReplace
            else None
        ),
        deleted_with=request.deletedWith,
        ignore_changes=list(request.ignoreChanges),
        hide_diff=list(request.hideDiffs),
        replace_on_changes=list(request.replaceOnChanges),
        additional_secret_outputs=list(request.additionalSecretOutputs),
        custom_timeouts={
            operation: duration_seconds(getattr(timeouts, operation))
            for operation in ("create", "update", "delete")
            if getattr(timeouts, operation)
        },
        aliases=[_alias(alias) for alias in request.aliases]
        + [Alias(alias) for alias in request.aliasURNs],
        source_position=_position(request.sourcePosition, root),
        stack_trace=[
            {"sourcePosition": position} if position else {}
            for position in (_position(frame.pc, root) for frame in request.stackTrace.frames)
        ],
    )


def _alias(alias: Any) -> Alias:
    spec = alias.spec
    return Alias(
        alias.urn, spec.name, spec.type, spec.stack, spec.project, spec.parentUrn, spec.noParent
    )


def duration_seconds(text: str) -> float:
    """A Go duration (`1h30m`, `1.5s`) in seconds."""
    parts = _DURATION.findall(text)
    return whole_number(sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts))


def _position(position: Any, root: Path) -> str:
    """A source position relative to the project, as `project:///things.py#63`."""
    if not position.uri.startswith("file://"):
        return ""
    path = unquote(str(position.uri).removeprefix("file://"))
    return f"project:///{Path(os.path.relpath(path, root)).as_posix()}#{position.line}"


def unsupported_in(request: Any) -> str:
    """The feature of a RegisterResourceRequest that is not supported; empty if none."""
    resource = f"{request.type} {request.name}"
    package = urns.package_of(request.type)
    if request.type.startswith(urns.PROVIDER_TYPE_PREFIX):
        return f"the program creates the provider {resource}"
    if request.custom and package != urns.DYNAMIC_PACKAGE:
        return f"{resource} needs the provider plugin of the package {package!r}"
    asked = {
        "a remote component": request.remote,
        "import": request.importId,
        "transforms": request.transforms,
        "hooks": request.HasField("hooks") and request.hooks.ListFields(),
        "replace_with": request.replace_with,
        "replacement_trigger": request.HasField("replacement_trigger"),
        "an explicit provider": request.custom and request.provider,
        "state migrations": request.state_migrations,
        "a package parameterization": request.packageRef,
    }
    for feature, is_asked in asked.items():
        if is_asked:
            return f"{resource} uses {feature}"
    inputs: PropertyValue = from_struct(request.object)
    form = special_form_in(inputs)
    return f"{resource} has {form} among its inputs" if form else ""
