"""From this checkout and a base image to an image in a repository, in one go.

A second run after a kill goes on where the first one was: the registry keeps what it has, and the
manifest, which makes the image exist, comes last.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from container_image import base as bases
from container_image import image, reference
from container_image.blob import Blob
from container_image.errors import ImageError
from container_image.layer import write_layer
from container_image.login import Logins
from container_image.media_types import OCI_MANIFEST
from container_image.registry import Repository
from container_image.settings import LOCK
from container_image.sources import ROOT, content_identity, sources
from container_image.wheels import wheels

CACHE = ROOT / ".cache" / "image"
_WORK = "work-"
_ABANDONED_SECONDS = 24 * 3600
_SHOWN_BYTES = 1 << 20


@dataclass(frozen=True)
class Request:
    """base: with its digest; repository: the image's name; content: its `content_identity`."""

    base: str
    python: str
    repository: str
    content: str

    @property
    def identity(self) -> str:
        text = "\n".join((self.base, self.python, self.content))
        return sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Surroundings:
    """logins: who to be at a registry; stopped: set to stop; say: prints a line of progress."""

    logins: Logins
    stopped: threading.Event
    say: Callable[[object], None]
    root: Path = ROOT
    cache: Path = CACHE

    def repository(self, name: reference.Reference) -> Repository:
        return Repository(name, self.logins(name.host), self.stopped)


def publish(request: Request, around: Surroundings) -> reference.Reference:
    """The image, with its digest. Raises ImageError."""
    if content_identity(around.root) != request.content:
        raise ImageError("the web service's files have changed since the start: run it again")
    pinned, name = reference.parse(request.base), reference.parse(request.repository)
    with around.repository(pinned) as source, around.repository(name) as target:
        base = bases.read(source, pinned)
        base.require_python(request.python)
        packages = wheels(
            around.root / LOCK, request.python, around.cache, around.stopped, around.say
        )
        with _work_folder(around.cache) as folder:
            layer = write_layer(
                around.root, sources(around.root), packages, folder / "layer.tar.gz"
            )
            config = image.config(base, layer, request.identity)
            manifest = image.manifest(base, layer, config)
            digest = Blob.of_bytes(manifest).digest
            if not target.has_manifest(digest):
                around.say(f"pushing {name}@{digest}")
                for blob in _missing(target, [one for one, _ in base.layers]):
                    _copy(blob, source, target, folder, around.say)
                around.say(f"  uploading the service, {_megabytes(layer.blob)}")
                target.upload(layer.blob)
                target.upload(config)
                target.put_manifest(manifest, OCI_MANIFEST)
    return name.pinned(digest)


def _missing(target: Repository, blobs: list[Blob]) -> Iterator[Blob]:
    return (blob for blob in blobs if not target.has_blob(blob.digest))


def _copy(
    blob: Blob, source: Repository, target: Repository, folder: Path, say: Callable[[object], None]
) -> None:
    """A layer of the base image, within a registry without a download."""
    if target.mount(blob.digest, source):
        return
    if blob.size >= _SHOWN_BYTES:
        say(f"  copying a layer of the base image, {_megabytes(blob)}")
    file = folder / "base-layer"
    source.download(blob, file)
    target.upload(Blob(blob.digest, blob.size, file))
    file.unlink()


@contextmanager
def _work_folder(cache: Path) -> Generator[Path]:
    """For large files; those of processes that were killed are removed after a day."""
    cache.mkdir(parents=True, exist_ok=True)
    for folder in cache.glob(f"{_WORK}*"):
        if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=cache) as folder:
        yield Path(folder)


def _megabytes(blob: Blob) -> str:
    return f"{blob.size / 1e6:.1f} MB"
