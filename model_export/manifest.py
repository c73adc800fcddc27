"""manifest.json: what a published model folder contains, and how it was made.

It is written last, so a folder with a manifest is a complete model. Deleting removes what it lists
and nothing else. Older and newer exporters write other specs and more fields: to check or delete
their models takes only the list of files, so the rest is read as far as it is understood.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from model_export.checksums import sha256_of
from model_export.ingredients import Ingredient
from model_export.sources import RANDOM
from model_export.spec import ModelSpec

MANIFEST_NAME = "manifest.json"
FORMAT = 1
_INGREDIENT_KEYS = tuple(field.name for field in fields(Ingredient))


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
    """versions: of Python, its Unicode data, regex, tensorflow, keras and keras_cv at export.

    spec is the bare values where they are not a ModelSpec by today's rules.
    """

    fingerprint: str
    exporter_version: int
    spec: ModelSpec | Mapping[str, Any]
    weights_sha256: str
    versions: dict[str, str]
    parameter_count: int
    licence: str
    signatures: dict[str, Signature]
    files: tuple[FileEntry, ...]
    made_of: tuple[Ingredient, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def spec_values(self) -> dict[str, Any]:
        return self.spec.to_json() if isinstance(self.spec, ModelSpec) else dict(self.spec)

    @property
    def has_random_weights(self) -> bool:
        if isinstance(self.spec, ModelSpec):
            return self.spec.random_seed is not None
        return str(self.spec.get("weights")).partition(":")[0] == RANDOM

    def to_bytes(self) -> bytes:
        document = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "exporterVersion": self.exporter_version,
            "spec": self.spec_values,
            "weightsSha256": self.weights_sha256,
            "versions": self.versions,
            "parameterCount": self.parameter_count,
            "licence": self.licence,
            "randomWeights": self.has_random_weights,
            "sizeBytes": self.size_bytes,
            "signatures": {name: asdict(found) for name, found in self.signatures.items()},
            "files": [asdict(file) for file in self.files],
            "madeOf": [asdict(one) for one in self.made_of],
        }
        return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Raises ManifestError unless it has this format and lists files of its folder."""
        try:
            document: dict[str, Any] = json.loads(content)
            if document["format"] != FORMAT:
                raise ManifestError(
                    f"{MANIFEST_NAME} has format {str(document['format'])[:20]}, not {FORMAT}: "
                    "use the version of this program that exported it"
                )
            files = tuple(_entry(file) for file in document["files"])
        except ManifestError:
            raise
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
            raise ManifestError(f"{MANIFEST_NAME} cannot be read: {error!r}") from error
        except ValueError as error:
            raise ManifestError(f"{MANIFEST_NAME} cannot be read: {error}") from error
        return cls(
            fingerprint=str(document.get("fingerprint", "")),
            exporter_version=_whole(document.get("exporterVersion")),
            spec=_spec(_mapping(document.get("spec"))),
            weights_sha256=str(document.get("weightsSha256", "")),
            versions=_texts(document.get("versions")),
            parameter_count=_whole(document.get("parameterCount")),
            licence=str(document.get("licence", "")),
            signatures={
                name: Signature(
                    _texts(_mapping(found).get("inputs")), _texts(_mapping(found).get("outputs"))
                )
                for name, found in _mapping(document.get("signatures")).items()
            },
            files=files,
            made_of=tuple(
                Ingredient(*(str(one.get(key, "")) for key in _INGREDIENT_KEYS))
                for one in map(_mapping, _list(document.get("madeOf")))
            ),
        )


def _entry(file: dict[str, Any]) -> FileEntry:
    return FileEntry(checked_path(file["path"]), int(file["size_bytes"]), str(file["sha256"]))


def _spec(values: dict[str, Any]) -> ModelSpec | Mapping[str, Any]:
    try:
        return ModelSpec.from_json(values)
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        return values


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> dict[str, str]:
    return {name: str(found) for name, found in _mapping(value).items()}


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def checked_path(path: str) -> str:
    """The path, if it stays inside the folder it is relative to; ManifestError otherwise."""
    parts = path.split("/")
    is_text = path.encode(errors="ignore").decode() == path and "\0" not in path
    if not is_text or "\\" in path or any(part in ("", ".", "..") for part in parts):
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
