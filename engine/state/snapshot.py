"""The snapshot: the resources of a stack at a point in time."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from engine import urn as urns
from engine.errors import EngineError, UnsupportedError
from engine.values import PropertyMap, PropertyValue

# Keys of unsupported features.
_UNKNOWN_ENTRY_FEATURES = (
    "taint",
    "replaceWith",
    "replacementTrigger",
    "viewOf",
    "resourceHooks",
    "extensionRef",
    "snippetID",
    "refreshBeforeUpdate",
)


def now() -> str:
    """The current time in Pulumi's format: RFC 3339 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")


@dataclass(eq=False)
class Resource:
    """A resource in the snapshot.

    Compared by identity: two may share a URN while one of them is pending deletion.
    """

    urn: str
    custom: bool
    type: str
    delete: bool = False
    id: str = ""
    inputs: PropertyMap = field(default_factory=dict[str, PropertyValue])
    outputs: PropertyMap = field(default_factory=dict[str, PropertyValue])
    parent: str = ""
    protect: bool = False
    external: bool = False
    dependencies: list[str] = field(default_factory=list[str])
    init_errors: list[str] = field(default_factory=list[str])
    provider: str = ""
    property_dependencies: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    pending_replacement: bool = False
    additional_secret_outputs: list[str] = field(default_factory=list[str])
    custom_timeouts: dict[str, float] = field(default_factory=dict[str, float])
    import_id: str = ""
    retain_on_delete: bool = False
    deleted_with: str = ""
    created: str = ""
    modified: str = ""
    source_position: str = ""
    stack_trace: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    ignore_changes: list[str] = field(default_factory=list[str])
    hide_diff: list[str] = field(default_factory=list[str])
    replace_on_changes: list[str] = field(default_factory=list[str])
    # The resource's old URN, until all references to it are renamed.
    alias: str = ""
    # Keys that this engine does not use and keeps.
    other: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def name(self) -> str:
        return urns.name_of(self.urn)

    @property
    def is_provider(self) -> bool:
        return self.type.startswith(urns.PROVIDER_TYPE_PREFIX)

    @property
    def is_root_stack(self) -> bool:
        return self.type == urns.ROOT_STACK_TYPE

    def references(self) -> Iterator[str]:
        """The URNs of all resources that must outlive this one."""
        if self.provider:
            yield urns.of_provider_reference(self.provider)
        if self.parent:
            yield self.parent
        yield from self.dependencies
        for dependencies in self.property_dependencies.values():
            yield from dependencies
        if self.deleted_with:
            yield self.deleted_with


@dataclass(frozen=True)
class PendingOperation:
    """A provider call in progress when the snapshot was written."""

    resource: Resource
    type: str  # creating, updating, deleting, reading or importing


@dataclass
class Snapshot:
    """The resources, each after those it refers to."""

    resources: list[Resource] = field(default_factory=list[Resource])
    pending_operations: list[PendingOperation] = field(default_factory=list[PendingOperation])

    def root_stack(self) -> Resource | None:
        return next((entry for entry in self.resources if entry.is_root_stack), None)

    def dynamic_provider(self) -> Resource | None:
        """The default provider of dynamic resources."""
        return next(
            (entry for entry in self.resources if entry.type == urns.DYNAMIC_PROVIDER_TYPE), None
        )

    def require_supported(self) -> None:
        """Raise UnsupportedError for a state that needs the official engine."""
        for entry in self.resources:
            package = urns.package_of(entry.type)
            if entry.is_provider and entry.type != urns.DYNAMIC_PROVIDER_TYPE:
                raise UnsupportedError(f"the state has the provider {entry.type} {entry.name}")
            if entry.custom and not entry.is_provider and package != urns.DYNAMIC_PACKAGE:
                raise UnsupportedError(f"the state has {entry.type} {entry.name}")
            if entry.is_provider and entry.name != "default":
                raise UnsupportedError(f"the state has the explicit provider {entry.name}")
            for key in _UNKNOWN_ENTRY_FEATURES:
                if entry.other.get(key):
                    raise UnsupportedError(f"the state of {entry.name} has `{key}`")


def verify_integrity(resources: Iterable[Resource]) -> None:
    """Raise EngineError if the resources are inconsistent."""
    declared: set[str] = set()
    providers: set[str] = set()
    alive: set[str] = set()
    for entry in resources:
        problem = ""
        if not entry.urn or not entry.type:
            problem = "has no URN or no type"
        elif entry.id and not entry.custom:
            problem = "is a component but has an ID"
        elif not entry.delete and entry.urn in alive:
            problem = "appears twice"
        elif entry.provider and not entry.pending_replacement and entry.provider not in providers:
            # The provider of a resource pending deletion may have been replaced.
            problem = "" if entry.delete else f"refers to the unknown provider {entry.provider}"
        else:
            missing = [
                reference
                for reference in entry.references()
                if reference not in declared
                and reference != urns.of_provider_reference(entry.provider)
            ]
            if missing and not entry.delete:
                problem = f"refers to {missing[0]}, which does not precede it"
        if problem:
            raise EngineError(
                f"the checkpoint is corrupt: {entry.urn or 'a resource'} {problem}; "
                "restore STACK.json from STACK.json.bak in the same folder"
            )
        declared.add(entry.urn)
        if not entry.delete:
            alive.add(entry.urn)
        if entry.is_provider:
            providers.add(f"{entry.urn}::{entry.id}")


def with_aliases_resolved(resources: list[Resource]) -> list[Resource]:
    """Copies in which references to aliased URNs are replaced with the current ones."""
    renamed: dict[str, str] = {}
    for entry in resources:
        if entry.alias:
            renamed[entry.alias] = entry.urn
        if entry.parent in renamed:
            urn = urns.with_parent(entry.urn, renamed[entry.parent])
            if urn != entry.urn:
                renamed[entry.urn] = urn
    if not renamed:
        return resources

    def fix(urn: str) -> str:
        return renamed.get(urn, urn)

    def fix_provider(reference: str) -> str:
        urn, separator, provider_id = reference.rpartition("::")
        return f"{fix(urn)}{separator}{provider_id}"

    return [_with_urns(entry, fix, fix_provider) for entry in resources]


def _with_urns(
    entry: Resource, fix: Callable[[str], str], fix_provider: Callable[[str], str]
) -> Resource:
    by_property = {
        key: [fix(urn) for urn in dependencies]
        for key, dependencies in entry.property_dependencies.items()
    }
    if by_property != entry.property_dependencies:
        # The official engine lists properties without dependencies only if it changes nothing.
        by_property = {key: found for key, found in by_property.items() if found}
    return dataclasses.replace(
        entry,
        urn=fix(entry.urn),
        parent=fix(entry.parent),
        provider=fix_provider(entry.provider) if entry.provider else "",
        dependencies=[fix(urn) for urn in entry.dependencies],
        property_dependencies=by_property,
        deleted_with=fix(entry.deleted_with),
    )
