"""`ModelExport`: the Pulumi resource for an exported model folder.

Users' state names the provider by this module and class: do not move or rename either. TensorFlow
never runs in this process: an export is a subprocess that ends with it.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from console import provider_process, say
from model_export import owners, publish
from model_export.checkout import lies_in_another_checkout
from model_export.download import WeightsError
from model_export.exporter_process import run_exporter
from model_export.families import fingerprint
from model_export.locks import LockLostError, locked
from model_export.manifest import MANIFEST_NAME, Manifest, ManifestError
from model_export.resource_inputs import checked
from model_export.spec import ModelSpec
from model_export.staging import remove_abandoned
from model_export.storage import (
    RetainedError,
    Storage,
    StorageError,
    child_url,
    local_path,
    open_storage,
)

_REPLACING_INPUTS = ("fingerprint", "destination")


class ModelExport(Resource, module="diffusion", name="ModelExport"):
    """A model, exported and published under `destination`/fingerprint.

    uri is that folder, path the same as a local path (empty for a bucket). manifestSha256 is the
    checksum of its manifest, which holds the checksums of all other files.
    """

    uri: pulumi.Output[str]
    path: pulumi.Output[str]
    fingerprint: pulumi.Output[str]
    manifestSha256: pulumi.Output[str]  # noqa: N815 - the state's key, in Pulumi's spelling
    sizeBytes: pulumi.Output[int]  # noqa: N815
    parameterCount: pulumi.Output[int]  # noqa: N815
    licence: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        spec: ModelSpec,
        destination: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """destination: URL of the folder for models, for example file:///srv/models."""
        inputs = {
            "spec": spec.to_json(),
            "destination": destination,
            "fingerprint": require_fingerprint(spec),
            "owner": f"{pulumi.get_project()}/{pulumi.get_stack()}/{name}",
        }
        outputs = dict.fromkeys(
            ("uri", "path", "manifestSha256", "sizeBytes", "parameterCount", "licence", "claim")
        )
        super().__init__(ModelExportProvider(), name, {**inputs, **outputs}, opts)


class ModelExportProvider(ResourceProvider):
    """Creates, checks and deletes published models. Has no state of its own."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        provider_process.adapt()

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        return checked(news)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        # Another model or destination is another folder, so the old one can be deleted last.
        replaces = [key for key in _REPLACING_INPUTS if _olds.get(key) != _news.get(key)]
        changed = bool(replaces) or _olds.get("spec") != _news.get("spec")
        return DiffResult(changes=changed, replaces=replaces, delete_before_replace=False)

    def create(self, props: dict[str, Any]) -> CreateResult:
        storage, claim = _storage(props), uuid.uuid4().hex
        with _in_one_line():
            # Before looking: whoever deletes the folder from here on sees the claim.
            owners.claim(storage, _owner(props), claim)
            try:
                if _problem(storage, props, claim):
                    self.make(props, claim)
                    remaining = _problem(storage, props, claim, checksums=False)
                    if remaining:
                        raise RuntimeError(f"{storage.url}: {remaining} even after the export")
                outputs = _outputs(storage)
            except BaseException:
                owners.withdraw(storage, claim)
                raise
        return CreateResult(storage.url, {**props, **outputs, "claim": claim})

    def make(self, props: dict[str, Any], claim: str) -> None:
        """Publishes the model, which is not there, or not complete."""
        _run_export(props, claim)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Gone, unless the manifest is the recorded one and every file has the right size.

        Checksums would make every refresh slow; `python -m model_export verify` compares them.
        """
        storage = _storage(props)
        if _is_anothers(props):
            return ReadResult("", {})
        manifest = storage.read(MANIFEST_NAME)
        known = manifest is not None and sha256(manifest).hexdigest() == props["manifestSha256"]
        if known and not publish.problems(storage, checksums=False):
            return ReadResult(id_, props)
        return ReadResult("", {})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        given = {key: value for key, value in _news.items() if value is not None}
        return UpdateResult({**_olds, **given})

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        destination, storage = str(_props["destination"]), _storage(_props)
        if _is_anothers(_props):
            say(f"left alone: the model of another checkout, {storage.url}")
            return
        if destination.startswith("file:"):
            folder = local_path(destination)
            if not folder.exists():
                return
            remove_abandoned(folder)
        with _in_one_line(), locked(storage):
            try:
                owners.release(storage, str(_props.get("claim")))
                others = owners.owners(storage)
                if others:
                    # Another of this name was renamed, or belongs to another backend.
                    note = ", another of this name" if _owner(_props) in others else ""
                    needed = f"still needed by {', '.join(others)}{note}"
                    say(f"keeping {storage.url}: {needed}")
                    return
                publish.delete(storage)
            except RetainedError as error:
                say(error)


def require_fingerprint(spec: ModelSpec) -> str:
    """Reads the headers of the user's own files: one of the wrong kind ends the program here."""
    try:
        return fingerprint(spec)
    except WeightsError as error:
        raise pulumi.RunError(str(error)) from None
    except OSError as error:
        raise pulumi.RunError(f"{error.filename}: {error.strerror or error}") from None


def _problem(
    storage: Storage, props: Mapping[str, Any], claim: str, *, checksums: bool = True
) -> str | None:
    """What is wrong with the model; None if it is complete, and then the claim stands."""
    with locked(storage):
        found = publish.problems(storage, checksums=checksums)
        if not found:
            owners.confirm(storage, _owner(props), claim)
    return found[0] if found else None


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    """A RuntimeError is shown as its message alone, and others with a traceback."""
    try:
        yield
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise RuntimeError(f"{place}{error.strerror or error}") from error
    except (StorageError, LockLostError, ManifestError) as error:
        raise RuntimeError(str(error)) from error


def _is_anothers(props: Mapping[str, Any]) -> bool:
    """Whether the state is a copy of another checkout's, whose model this is."""
    destination = str(props["destination"])
    return destination.startswith("file:") and lies_in_another_checkout(local_path(destination))


def _storage(props: Mapping[str, Any]) -> Storage:
    return open_storage(child_url(str(props["destination"]), str(props["fingerprint"])))


def _owner(props: Mapping[str, Any]) -> str:
    return str(props.get("owner") or "unknown")


def _outputs(storage: Storage) -> dict[str, Any]:
    content = storage.read(MANIFEST_NAME)
    if content is None:
        raise RuntimeError(f"{storage.url}: {MANIFEST_NAME} has disappeared; run again")
    manifest = Manifest.from_bytes(content)
    return {
        "uri": storage.url,
        "path": str(local_path(storage.url)) if storage.url.startswith("file:") else "",
        "manifestSha256": sha256(content).hexdigest(),
        "sizeBytes": manifest.size_bytes,
        "parameterCount": manifest.parameter_count,
        "licence": manifest.licence,
    }


def _run_export(props: Mapping[str, Any], claim: str) -> None:
    """Runs `python -m model_export export`, and prints its progress lines as they come."""
    arguments = [
        *("export", "--exit-with-parent"),
        *("--spec", json.dumps(ModelSpec.from_json(props["spec"]).to_json())),
        *("--to", str(props["destination"])),
        *("--expect-fingerprint", str(props["fingerprint"])),
        *("--claim", claim),
    ]
    run_exporter(arguments)
