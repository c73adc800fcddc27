"""manifest.json: what a published model folder contains, and how it was made.

It is written last, so a folder with a manifest is a complete model. Deleting removes what it lists
and nothing else.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from model_export.checksums import sha256_of
from model_export.spec import ModelSpec, SpecError

MANIFEST_NAME = "manifest.json"
FORMAT = 1


class ManifestError(ValueError):
    """A manifest that cannot be read, or that lists a path outside its folder."""


@dataclass(frozen=True)
class FileEntry:
    """One published file; path is relative to the model folder, with forward slashes."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of one entry point by name, like "int32[B, 77]"."""

    inputs: dict[str, str]
    outputs: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """versions: of Python, its Unicode data, regex, tensorflow, keras and keras_cv at export."""

    fingerprint: str
    exporter_version: int
    spec: ModelSpec
    weights_sha256: str
    versions: dict[str, str]
    parameter_count: int
    licence: str
    signatures: dict[str, Signature]
    files: tuple[FileEntry, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    def to_bytes(self) -> bytes:
        document = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "exporterVersion": self.exporter_version,
            "spec": self.spec.to_json(),
            "weightsSha256": self.weights_sha256,
            "versions": self.versions,
            "parameterCount": self.parameter_count,
            "licence": self.licence,
            "randomWeights": self.spec.random_seed is not None,
            "sizeBytes": self.size_bytes,
            "signatures": {name: asdict(found) for name, found in self.signatures.items()},
            "files": [asdict(file) for file in self.files],
        }
        return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Raises ManifestError for anything `to_bytes` would not have written."""
        try:
            document: dict[str, Any] = json.loads(content)
            if document["format"] != FORMAT:
                raise ManifestError(
                    f"{MANIFEST_NAME} has format {document['format']}, not {FORMAT}"
                )
            return cls(
                fingerprint=str(document["fingerprint"]),
                exporter_version=int(document["exporterVersion"]),
                spec=ModelSpec.from_json(document["spec"]),
                weights_sha256=str(document["weightsSha256"]),
                versions=dict(document["versions"]),
                parameter_count=int(document["parameterCount"]),
                licence=str(document["licence"]),
                signatures={
                    str(name): Signature(dict(found["inputs"]), dict(found["outputs"]))
                    for name, found in document.get("signatures", {}).items()
                },
                files=tuple(_entry(file) for file in document["files"]),
            )
        except ManifestError:
            raise
        except SpecError as error:
            raise ManifestError(
                f"{MANIFEST_NAME} describes an impossible model: {error}"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ManifestError(f"{MANIFEST_NAME} cannot be read: {error!r}") from error


def _entry(file: dict[str, Any]) -> FileEntry:
    return FileEntry(checked_path(file["path"]), int(file["size_bytes"]), str(file["sha256"]))


def checked_path(path: str) -> str:
    """The path, if it stays inside the folder it is relative to; ManifestError otherwise."""
    parts = path.split("/")
    if not path or "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise ManifestError(f"{path!r} is not a path inside the model folder")
    return path


def describe_files(folder: Path) -> tuple[FileEntry, ...]:
    """Every file under folder, sorted by path."""
    return tuple(
        FileEntry(
            PurePosixPath(path.relative_to(folder)).as_posix(),
            path.stat().st_size,
            sha256_of(path),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )
