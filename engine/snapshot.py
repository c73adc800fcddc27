"""The snapshot: all resources of a stack at one moment, as a checkpoint of version 3 has it."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from engine import urn as urns
from engine.errors import EngineError, UnsupportedError
from engine.passphrase import Crypter
from engine.values import (
    BLINDED,
    SECRET_SIGNATURE,
    SIGNATURE_KEY,
    PropertyMap,
    PropertyValue,
    Secret,
    blinded,
    contains,
    plain,
)

CHECKPOINT_VERSION = 3
# Where a float stops holding every integer.
_EXACT_INTEGER_LIMIT = 2**53

# Marks of engine features that an entry of version 3 may carry and this engine does not know.
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
_KNOWN_DEPLOYMENT_KEYS = {
    "manifest",
    "secrets_providers",
    "resources",
    "pending_operations",
    "metadata",
}


def now() -> str:
    """The time as Pulumi writes it: RFC 3339 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")


def engine_version() -> str:
    """The version the SDK has and the checkpoint's manifest names."""
    return f"v{importlib.metadata.version('pulumi')}"


@dataclass(eq=False)
class Resource:
    """One entry of the snapshot. Two entries may share a URN while one of them waits for deletion,
    so entries are told apart by identity.
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
    # The URN this entry was found under, until everything that refers to it is renamed.
    alias: str = ""
    # Keys of the entry that mean nothing to this engine and are kept.
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
        """The URNs of everything that must outlive this resource."""
        if self.provider:
            yield urns.of_provider_reference(self.provider)
        if self.parent:
            yield self.parent
        yield from self.dependencies
        for dependencies in self.property_dependencies.values():
            yield from dependencies
        if self.deleted_with:
            yield self.deleted_with


_JSON_KEYS = {
    "urn": "urn",
    "custom": "custom",
    "delete": "delete",
    "id": "id",
    "type": "type",
    "inputs": "inputs",
    "outputs": "outputs",
    "parent": "parent",
    "protect": "protect",
    "external": "external",
    "dependencies": "dependencies",
    "init_errors": "initErrors",
    "provider": "provider",
    "property_dependencies": "propertyDependencies",
    "pending_replacement": "pendingReplacement",
    "additional_secret_outputs": "additionalSecretOutputs",
    "custom_timeouts": "customTimeouts",
    "import_id": "importID",
    "retain_on_delete": "retainOnDelete",
    "deleted_with": "deletedWith",
    "created": "created",
    "modified": "modified",
    "source_position": "sourcePosition",
    "stack_trace": "stackTrace",
    "ignore_changes": "ignoreChanges",
    "hide_diff": "hideDiff",
    "replace_on_changes": "replaceOnChanges",
}
_ALWAYS_WRITTEN = {"urn", "custom", "type"}


@dataclass(frozen=True)
class PendingOperation:
    """A provider call that had begun when the snapshot was written."""

    resource: Resource
    type: str  # creating, updating, deleting, reading or importing


@dataclass
class Snapshot:
    """The resources, in an order in which everything stands after what it refers to."""

    resources: list[Resource] = field(default_factory=list[Resource])
    pending_operations: list[PendingOperation] = field(default_factory=list[PendingOperation])

    def root_stack(self) -> Resource | None:
        return next((entry for entry in self.resources if entry.is_root_stack), None)

    def dynamic_provider(self) -> Resource | None:
        """The entry of the default provider of dynamic resources."""
        return next(
            (entry for entry in self.resources if entry.type == urns.DYNAMIC_PROVIDER_TYPE), None
        )

    def require_supported(self) -> None:
        """Refuse a state that holds what only the official engine can handle."""
        for entry in self.resources:
            package = urns.package_of(entry.type)
            if entry.is_provider and entry.type != urns.DYNAMIC_PROVIDER_TYPE:
                raise UnsupportedError(f"the state holds the provider {entry.type} {entry.name}")
            if entry.custom and not entry.is_provider and package != urns.DYNAMIC_PACKAGE:
                raise UnsupportedError(f"the state holds {entry.type} {entry.name}")
            if entry.is_provider and entry.name != "default":
                raise UnsupportedError(f"the state holds the explicit provider {entry.name}")
            for key in _UNKNOWN_ENTRY_FEATURES:
                if entry.other.get(key):
                    raise UnsupportedError(f"the state of {entry.name} has `{key}`")


def salt_of(deployment: Mapping[str, Any]) -> str:
    """The passphrase provider's state string in a checkpoint's deployment; empty if none."""
    secrets_providers: dict[str, Any] = deployment.get("secrets_providers") or {}
    if not secrets_providers:
        return ""
    if secrets_providers.get("type") != "passphrase":
        raise UnsupportedError(
            f"the checkpoint's secrets provider is {secrets_providers.get('type')!r}, and only "
            "passphrase is built in"
        )
    state: dict[str, Any] = secrets_providers.get("state") or {}
    return str(state.get("salt") or "")


def deployment_of(document: object, where: str) -> dict[str, Any]:
    """The deployment in a checkpoint file's content; empty for a stack never deployed."""
    if not isinstance(document, dict):
        raise EngineError(f"{where} is not a checkpoint: no JSON object at its top level")
    checkpoint = cast("dict[str, Any]", document)
    version = checkpoint.get("version")
    features = checkpoint.get("features")
    if version != CHECKPOINT_VERSION or features:
        suffix = f" with the features {', '.join(features)}" if features else ""
        raise UnsupportedError(f"{where} is a checkpoint of version {version}{suffix}")
    deployment = cast("dict[str, Any]", checkpoint["checkpoint"].get("latest") or {})
    unknown = sorted(
        key for key, value in deployment.items() if value and key not in _KNOWN_DEPLOYMENT_KEYS
    )
    if unknown:
        raise UnsupportedError(f"{where} holds `{unknown[0]}`")
    return deployment


def load(
    deployment: Mapping[str, Any], crypter: Crypter | None, *, keep_ciphertexts: bool = True
) -> Snapshot:
    """The snapshot of a deployment; without a crypter every secret reads `[secret]`.

    keep_ciphertexts: write unchanged secrets again as they are; not for another crypter.
    """
    entries: list[dict[str, Any]] = deployment.get("resources") or []
    pending: list[dict[str, Any]] = deployment.get("pending_operations") or []
    snapshot = Snapshot(
        [_load_resource(entry, crypter) for entry in entries],
        [
            PendingOperation(_load_resource(operation["resource"], crypter), operation["type"])
            for operation in pending
        ],
    )
    manifest: dict[str, Any] = deployment.get("manifest") or {}
    version = str(manifest.get("version") or "")
    if manifest.get("magic") and manifest["magic"] != _magic(version):
        raise EngineError(
            "the checkpoint was tampered with or is corrupt: its manifest's magic is wrong; "
            "restore STACK.json from STACK.json.bak beside it"
        )
    verify_integrity(snapshot.resources)
    if not keep_ciphertexts:
        for entry in snapshot.resources:
            contains(entry.inputs, _forget_ciphertext)
            contains(entry.outputs, _forget_ciphertext)
    return snapshot


def _forget_ciphertext(value: PropertyValue) -> bool:
    if isinstance(value, Secret):
        value.ciphertext = None
    return False


def verify_integrity(resources: Iterable[Resource]) -> None:
    """What every reader of a checkpoint relies on."""
    declared: set[str] = set()
    providers: set[str] = set()
    alive: set[str] = set()
    for entry in resources:
        problem = ""
        if not entry.urn or not entry.type:
            problem = "has no URN or no type"
        elif entry.id and not entry.custom:
            problem = "is a component and has an id"
        elif not entry.delete and entry.urn in alive:
            problem = "stands there twice"
        elif entry.provider and not entry.pending_replacement and entry.provider not in providers:
            # The provider of an entry that waits for deletion may have been replaced.
            problem = "" if entry.delete else f"refers to the unknown provider {entry.provider}"
        else:
            missing = [
                reference
                for reference in entry.references()
                if reference not in declared
                and reference != urns.of_provider_reference(entry.provider)
            ]
            if missing and not entry.delete:
                problem = f"refers to {missing[0]}, which does not stand before it"
        if problem:
            raise EngineError(
                f"the checkpoint is corrupt: {entry.urn or 'an entry'} {problem}; "
                "restore STACK.json from STACK.json.bak beside it"
            )
        declared.add(entry.urn)
        if not entry.delete:
            alive.add(entry.urn)
        if entry.is_provider:
            providers.add(f"{entry.urn}::{entry.id}")


def dump(snapshot: Snapshot, crypter: Crypter) -> dict[str, Any]:
    """The deployment of a snapshot."""
    version = engine_version()
    resources = _with_aliases_resolved(snapshot.resources)
    deployment: dict[str, Any] = {
        "manifest": {"time": now(), "magic": _magic(version), "version": version},
        "secrets_providers": {"type": "passphrase", "state": {"salt": crypter.state}},
        "resources": [_dump_resource(entry, crypter) for entry in resources],
        "pending_operations": [
            {"resource": _dump_resource(operation.resource, crypter), "type": operation.type}
            for operation in snapshot.pending_operations
        ],
        "metadata": {},
    }
    return {key: value for key, value in deployment.items() if value or key == "metadata"}


def document(stack: str, project: str, deployment: Mapping[str, Any] | None) -> str:
    """The text of a checkpoint file."""
    checkpoint: dict[str, Any] = {"stack": f"organization/{project}/{stack}"}
    if deployment is not None:
        checkpoint["latest"] = deployment
    content = {"version": CHECKPOINT_VERSION, "checkpoint": checkpoint}
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def _magic(version: str) -> str:
    return hashlib.sha256(version.encode()).hexdigest()


def _load_resource(entry: Mapping[str, Any], crypter: Crypter | None) -> Resource:
    place = str(entry.get("urn"))
    names = {key: name for name, key in _JSON_KEYS.items()}
    known: dict[str, Any] = {}
    other: dict[str, Any] = {}
    for key, value in entry.items():
        if key in ("inputs", "outputs"):
            known[key] = _load_value(value, crypter, f"{place}#{key}")
        elif key in names:
            known[names[key]] = value
        else:
            other[key] = value
    property_dependencies = cast(
        "Mapping[str, list[str] | None]", known.get("property_dependencies") or {}
    )
    known["property_dependencies"] = {
        key: list(dependencies or []) for key, dependencies in property_dependencies.items()
    }
    return Resource(**known, other=other)


def _dump_resource(entry: Resource, crypter: Crypter | None) -> dict[str, Any]:
    dumped: dict[str, Any] = {}
    for name, key in _JSON_KEYS.items():
        value: Any = getattr(entry, name)
        if key in ("inputs", "outputs"):
            value = _dump_value(value, crypter, f"{entry.urn}#{key}")
        if value or name in _ALWAYS_WRITTEN:
            dumped[key] = value
    return {**dumped, **entry.other}


def dump_blinded(entry: Resource) -> dict[str, Any]:
    """The entry as a checkpoint has it, with `[secret]` for each secret."""
    return _dump_resource(
        dataclasses.replace(
            entry,
            inputs={key: blinded(value) for key, value in entry.inputs.items()},
            outputs={key: blinded(value) for key, value in entry.outputs.items()},
        ),
        None,
    )


def _load_value(value: Any, crypter: Crypter | None, place: str) -> PropertyValue:
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        if mapping.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
            return _load_secret(mapping, crypter, place)
        return {key: _load_value(item, crypter, f"{place}.{key}") for key, item in mapping.items()}
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [_load_value(item, crypter, f"{place}[{i}]") for i, item in enumerate(items)]
    return whole_number(value) if isinstance(value, float) else value


def _load_secret(entry: Mapping[str, Any], crypter: Crypter | None, place: str) -> Secret:
    if crypter is None:
        return Secret(BLINDED)
    ciphertext = str(entry.get("ciphertext") or "")
    text = entry.get("plaintext") or crypter.decrypt(ciphertext, place)
    return Secret(_load_inner(json.loads(str(text))), ciphertext or None)


def _load_inner(value: Any) -> PropertyValue:
    """What is inside a secret, where further secrets stand in the clear."""
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        if mapping.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
            text = mapping.get("plaintext") or mapping.get("ciphertext")
            return Secret(_load_inner(json.loads(str(text))))
        return {key: _load_inner(item) for key, item in mapping.items()}
    if isinstance(value, list):
        return [_load_inner(item) for item in cast("list[Any]", value)]
    return whole_number(value) if isinstance(value, float) else value


def _dump_value(value: PropertyValue, crypter: Crypter | None, place: str) -> Any:
    if isinstance(value, Secret):
        assert crypter is not None
        if value.ciphertext is None:
            text = json.dumps(
                plain(value.value), separators=(",", ":"), ensure_ascii=False, sort_keys=True
            )
            value.ciphertext = crypter.encrypt(text, place)
        return {SIGNATURE_KEY: SECRET_SIGNATURE, "ciphertext": value.ciphertext}
    if isinstance(value, dict):
        return {key: _dump_value(value[key], crypter, f"{place}.{key}") for key in sorted(value)}
    if isinstance(value, list):
        return [_dump_value(item, crypter, f"{place}[{i}]") for i, item in enumerate(value)]
    return value


def whole_number(value: float) -> int | float:
    """All numbers travel as doubles; whole ones are written without a point."""
    return int(value) if value.is_integer() and abs(value) < _EXACT_INTEGER_LIMIT else value


def _with_aliases_resolved(resources: list[Resource]) -> list[Resource]:
    """Copies in which every reference to an aliased URN has the URN of this run."""
    renamed: dict[str, str] = {}
    for entry in resources:
        if entry.alias:
            renamed[entry.alias] = entry.urn
        parent = renamed.get(entry.parent, "")
        if parent and urns.type_of(parent) != urns.ROOT_STACK_TYPE:
            prefix, type_and_name = entry.urn.split("::", 2)[:2], entry.urn.split("::", 2)[2]
            own = urns.type_of(entry.urn) + "::" + type_and_name.split("::", 1)[1]
            new_urn = "::".join([*prefix, f"{urns.qualified_type(parent)}${own}"])
            if new_urn != entry.urn:
                renamed[entry.urn] = new_urn
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
    return dataclasses.replace(
        entry,
        urn=fix(entry.urn),
        parent=fix(entry.parent),
        provider=fix_provider(entry.provider) if entry.provider else "",
        dependencies=[fix(urn) for urn in entry.dependencies],
        property_dependencies={
            key: [fix(urn) for urn in dependencies]
            for key, dependencies in entry.property_dependencies.items()
        },
        deleted_with=fix(entry.deleted_with),
    )
