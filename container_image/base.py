"""The base image: which one a tag means for Linux on x86-64, and what it consists of."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, cast

from container_image.blob import Blob
from container_image.errors import ImageError
from container_image.media_types import INDEXES, OCI_LAYERS
from container_image.reference import Reference
from container_image.registry import Repository, digest_of

_OS, _ARCHITECTURE = "linux", "amd64"
_PYTHON = re.compile(r"(?:PYTHON_VERSION=|python)(\d+\.\d+)")

Document = dict[str, Any]


@dataclass(frozen=True)
class Base:
    """layers: the blobs, with OCI's names of their kinds; config: the image's, as it is."""

    name: str
    layers: tuple[tuple[Blob, str], ...]
    config: Document

    def require_python(self, version: str) -> None:
        """Raises ImageError if the image says that it has another Python."""
        run: Document = self.config.get("config") or {}
        lines = (*(run.get("Env") or ()), *(run.get("Entrypoint") or ()), *(run.get("Cmd") or ()))
        found = {match[1] for line in lines for match in _PYTHON.finditer(str(line))}
        if found and version not in found:
            raise ImageError(
                f"{self.name} has Python {', '.join(sorted(found))}, not {version}: set webPython "
                "to the Python of webImageBase"
            )


def resolve(repository: Repository, reference: Reference) -> Reference:
    """The image for Linux on x86-64 itself, by its digest, not an index of several."""
    version = reference.version or "latest"
    content = repository.manifest(version)
    document = _document(content, reference)
    if not _is_index(document):
        return reference.pinned(digest_of(content))
    for entry in cast("list[Document]", document["manifests"]):
        platform: Document = entry.get("platform") or {}
        if (platform.get("os"), platform.get("architecture")) == (_OS, _ARCHITECTURE):
            return reference.pinned(str(entry["digest"]))
    raise ImageError(f"{reference} has no image for {_OS}/{_ARCHITECTURE}: name another base image")


def read(repository: Repository, pinned: Reference) -> Base:
    """What `resolve` has found."""
    document = _document(repository.manifest(pinned.digest), pinned)
    if _is_index(document):
        raise ImageError(f"{pinned} is an index of several images, not one")
    try:
        config_digest = str(document["config"]["digest"])
        layers = tuple(_layer(one, pinned) for one in document["layers"])
    except (KeyError, TypeError):
        raise ImageError(f"{pinned} is no image: name another base image") from None
    config = _document(repository.small_blob(config_digest), pinned)
    if (config.get("os"), config.get("architecture")) != (_OS, _ARCHITECTURE):
        raise ImageError(f"{pinned} is not for {_OS}/{_ARCHITECTURE}: name another base image")
    if len(config.get("rootfs", {}).get("diff_ids", ())) != len(layers):
        raise ImageError(f"{pinned} does not say what is in its layers: name another base image")
    return Base(str(pinned), layers, config)


def _layer(entry: Document, pinned: Reference) -> tuple[Blob, str]:
    media_type = OCI_LAYERS.get(str(entry["mediaType"]))
    if media_type is None:
        raise ImageError(f"{pinned} has a layer of the kind {entry['mediaType']}: name another one")
    return Blob(str(entry["digest"]), int(entry["size"])), media_type


def _is_index(document: Document) -> bool:
    return document.get("mediaType") in INDEXES or "manifests" in document


def _document(content: bytes, reference: Reference) -> Document:
    try:
        document: object = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ImageError(f"{reference}: the registry answers with something else than an image")
    return cast("Document", document)
