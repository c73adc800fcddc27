"""The checkpoint: a snapshot's file format, version 3, with encrypted secrets."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any, cast

from engine.errors import EngineError, UnsupportedError
from engine.project.passphrase import Crypter
from engine.state.property_json import dump_value, load_value
from engine.state.snapshot import (
    PendingOperation,
    Resource,
    Snapshot,
    now,
    verify_integrity,
    with_aliases_resolved,
)
from engine.values import PropertyValue, Secret, contains, redacted

_VERSION = 3
_RESTORE = "restore STACK.json from STACK.json.bak in the same folder"
_KNOWN_DEPLOYMENT_KEYS = {
    "manifest",
    "secrets_providers",
    "resources",
    "pending_operations",
    "metadata",
}
# By field of `Resource`.
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


def engine_version() -> str:
    """The SDK's version, written to the checkpoint's manifest."""
    return f"v{importlib.metadata.version('pulumi')}"


def salt_of(deployment: Mapping[str, Any]) -> str:
    """The passphrase provider's state string in a checkpoint's deployment; empty if none."""
    secrets_providers: dict[str, Any] = deployment.get("secrets_providers") or {}
    if not secrets_providers:
        return ""
    if secrets_providers.get("type") != "passphrase":
        raise UnsupportedError(
            f"the checkpoint's secrets provider is {secrets_providers.get('type')!r}; only "
            "passphrase is supported"
        )
    state: dict[str, Any] = secrets_providers.get("state") or {}
    return str(state.get("salt") or "")


def deployment_of(document: object, where: str) -> dict[str, Any]:
    """The deployment in a checkpoint file; empty if the stack was never deployed."""
    if not isinstance(document, dict):
        raise EngineError(f"{where} is not a checkpoint: {_RESTORE}")
    file = cast("dict[str, Any]", document)
    version = file.get("version")
    features = file.get("features")
    if version != _VERSION or features:
        suffix = f" with the features {', '.join(features)}" if features else ""
        raise UnsupportedError(f"{where} is a checkpoint of version {version}{suffix}")
    if not isinstance(file.get("checkpoint"), dict):
        raise EngineError(f"{where} is not a checkpoint: {_RESTORE}")
    deployment = cast("dict[str, Any]", file["checkpoint"].get("latest") or {})
    unknown = sorted(
        key for key, value in deployment.items() if value and key not in _KNOWN_DEPLOYMENT_KEYS
    )
    if unknown:
        raise UnsupportedError(f"{where} holds `{unknown[0]}`")
    return deployment


def load(
    deployment: Mapping[str, Any], crypter: Crypter | None, *, keep_ciphertexts: bool = True
) -> Snapshot:
    """The snapshot of a deployment; without a crypter, every secret becomes `[secret]`.

    keep_ciphertexts: keep unchanged secrets as they are; False if the key changes.
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
            f"the checkpoint is corrupt or was edited: its manifest's magic is wrong; {_RESTORE}"
        )
    verify_integrity(snapshot.resources)
    if not keep_ciphertexts:
        for entry in snapshot.resources:
            contains(entry.inputs, _drop_ciphertext)
            contains(entry.outputs, _drop_ciphertext)
    return snapshot


def _drop_ciphertext(value: PropertyValue) -> bool:
    if isinstance(value, Secret):
        value.ciphertext = None
    return False


def dump(snapshot: Snapshot, crypter: Crypter) -> dict[str, Any]:
    """The deployment of a snapshot."""
    version = engine_version()
    resources = with_aliases_resolved(snapshot.resources)
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
    content = {"version": _VERSION, "checkpoint": checkpoint}
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _magic(version: str) -> str:
    return hashlib.sha256(version.encode()).hexdigest()


def _load_resource(entry: Mapping[str, Any], crypter: Crypter | None) -> Resource:
    location = str(entry.get("urn"))
    names = {key: name for name, key in _JSON_KEYS.items()}
    known: dict[str, Any] = {"urn": "", "custom": False, "type": ""}
    other: dict[str, Any] = {}
    for key, value in entry.items():
        if key in ("inputs", "outputs"):
            known[key] = load_value(value, crypter, f"{location}#{key}")
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
            value = dump_value(value, crypter, f"{entry.urn}#{key}")
        if value or name in _ALWAYS_WRITTEN:
            dumped[key] = value
    return {**dumped, **entry.other}


def dump_redacted(entry: Resource) -> dict[str, Any]:
    """The resource as in a checkpoint, with `[secret]` for each secret."""
    return _dump_resource(
        dataclasses.replace(
            entry,
            inputs={key: redacted(value) for key, value in entry.inputs.items()},
            outputs={key: redacted(value) for key, value in entry.outputs.items()},
        ),
        None,
    )
