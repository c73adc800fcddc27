"""Destinations for models: a few operations on a folder of files, chosen by URL scheme."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from model_export.checksums import sha256_of
from model_export.locks import FileLock, Lock
from model_export.manifest import MANIFEST_NAME, checked_path

_PART_SUFFIX = ".part"
_TRIES = 20


class StorageError(RuntimeError):
    """A destination that cannot be used, or a path that leads out of it."""


class UrlError(StorageError):
    """A URL that is not a destination for models."""


class ChangedError(StorageError):
    """Another process has changed a file since it was read here."""


class RetainedError(StorageError):
    """A file that the bucket keeps as it is, by a retention policy or a hold."""


class Storage(Protocol):
    """One folder. Paths are relative to it, with forward slashes.

    `put` and `write` are atomic: a reader sees the whole file or none. Deleting a missing file is
    no error. In a bucket, `write` and `delete` replace the version that was last seen through this
    object, and `put` none at all, or they raise ChangedError: a process that lost its lock without
    noticing does no harm. Methods raise StorageError or OSError.
    """

    url: str

    def try_lock(self, expired: int | None = None) -> Lock:
        """The folder's lock (`model_export.locks`). Raises BusyError if it is held."""
        ...

    def models(self) -> list[str]:
        """The names of the folders in this one that have a manifest, sorted."""
        ...

    def check_access(self) -> None:
        """Raises StorageError if it is known that files cannot be published there."""
        ...

    def sizes(self) -> dict[str, int]:
        """Every file's size by path; empty if the folder does not exist."""
        ...

    def paths(self) -> list[str]:
        """Every file, parts of interrupted ones included."""
        ...

    def sha256(self, path: str) -> str | None: ...
    def read(self, path: str) -> bytes | None: ...
    def put(self, source: Path, path: str) -> None: ...

    def put_all(self, files: Sequence[tuple[Path, str]], on_put: Callable[[str], None]) -> None:
        """Puts files, given as pairs of source and path, in any order.

        on_put is called with each path when the file is there.
        """
        ...

    def write(self, content: bytes, path: str) -> None: ...
    def delete(self, path: str) -> None: ...

    def remove_empty_folders(self) -> None:
        """Removes empty folders inside, and then the folder itself if it is empty."""
        ...


class FileStorage:
    """A folder on this machine, as file:///absolute/path."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._root = local_path(url)

    def check_access(self) -> None:
        """Nothing to do: an export first writes next to it, and fails there."""

    def try_lock(self, expired: int | None = None) -> Lock:
        root = self._root.resolve()
        return FileLock.take(root.with_name(f".{root.name}.lock"))

    def models(self) -> list[str]:
        return sorted(path.parent.name for path in self._root.glob(f"*/{MANIFEST_NAME}"))

    def sizes(self) -> dict[str, int]:
        return {path: size for path, size in self._files() if not path.endswith(_PART_SUFFIX)}

    def paths(self) -> list[str]:
        return [path for path, _ in self._files()]

    def sha256(self, path: str) -> str | None:
        try:
            return sha256_of(self._inside(path))
        except FileNotFoundError:
            return None

    def read(self, path: str) -> bytes | None:
        try:
            return self._inside(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, source: Path, path: str) -> None:
        self._replace(path, lambda part: shutil.copyfile(source, part))

    def put_all(self, files: Sequence[tuple[Path, str]], on_put: Callable[[str], None]) -> None:
        for source, path in files:
            self.put(source, path)
            on_put(path)

    def write(self, content: bytes, path: str) -> None:
        self._replace(path, lambda part: part.write_bytes(content))

    def delete(self, path: str) -> None:
        target = self._inside(path)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            target.unlink()
        self._part(target).unlink(missing_ok=True)

    def remove_empty_folders(self) -> None:
        if self._root.is_symlink() or not self._root.is_dir():
            return
        for folder, _, _ in os.walk(self._root, topdown=False):
            with contextlib.suppress(OSError):  # not empty
                Path(folder).rmdir()

    def _files(self) -> Iterator[tuple[str, int]]:
        """Path and size of every file that another process is not deleting meanwhile."""
        for folder, _, names in os.walk(self._root):
            for path in (Path(folder, name) for name in names):
                with contextlib.suppress(FileNotFoundError):
                    if path.is_file():
                        yield path.relative_to(self._root).as_posix(), path.stat().st_size

    def _replace(self, path: str, fill: Callable[[Path], object]) -> None:
        target = self._inside(path)
        part = self._part(target)
        for left in reversed(range(_TRIES)):
            # A claim needs no lock: a deletion may remove the folder while it is still empty.
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                part.unlink(missing_ok=True)
                fill(part)
                break
            except FileNotFoundError:
                if not left:
                    raise
        # Without the sync, a power failure could leave an empty file.
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)

    def _inside(self, path: str) -> Path:
        """The absolute path. Raises StorageError if a link on the way leads out of this folder."""
        target = self._root / checked_path(path)
        if not target.parent.resolve().is_relative_to(self._root.resolve()):
            raise StorageError(f"{target} leads out of {self._root} through a link; not touched")
        return target

    @staticmethod
    def _part(target: Path) -> Path:
        return target.with_name(f".{target.name}{_PART_SUFFIX}")


def _google_cloud_storage(url: str) -> Storage:
    # Imports Google's client library, which only gs:// needs.
    from model_export.gcs_storage import GcsStorage

    return GcsStorage(url)


_SCHEMES: dict[str, Callable[[str], Storage]] = {
    "file": FileStorage,
    "gs": _google_cloud_storage,
}
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


def open_storage(url: str) -> Storage:
    """The storage behind a URL. Raises UrlError if the URL is not supported."""
    url = normalised_url(url)
    return _SCHEMES[urlsplit(url).scheme](url)


def normalised_url(url: str) -> str:
    """One spelling for each destination, so that equal ones compare equal as text."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UrlError(f"{url!r} is not a URL: {error}") from error
    if parts.scheme not in _SCHEMES:
        known = " or ".join(f"{scheme}://" for scheme in _SCHEMES)
        raise UrlError(f"{url!r} must start with {known}")
    try:
        path = unquote(parts.path, errors="strict").rstrip("/")
        quoted = quote(path)
    except UnicodeError:
        raise UrlError(f"{url!r} is not UTF-8 text") from None
    if parts.scheme == "gs":
        host, shape = parts.netloc, "gs://bucket/folder"
        host_is_right = _BUCKET.fullmatch(host) is not None
    else:
        host, shape = "", "file:///absolute/folder"
        host_is_right = parts.netloc in ("", "localhost")
    if not host_is_right or parts.query or parts.fragment or not path:
        raise UrlError(f"{url!r} must look like {shape}")
    if any(part in ("", ".", "..") for part in path.split("/")[1:]) or "\0" in path:
        raise UrlError(f"{url!r} must be a plain path, without empty parts, '.' or '..'")
    return f"{parts.scheme}://{host}{quoted}"


def child_url(url: str, name: str) -> str:
    return f"{normalised_url(url)}/{quote(name)}"


def parent_url(url: str) -> str:
    """The folder that it is in. Raises UrlError if that is not below a root."""
    return normalised_url(normalised_url(url).rpartition("/")[0])


def local_path(url: str) -> Path:
    """The folder of a file:// URL. Raises UrlError if it is not on this machine."""
    parts = urlsplit(normalised_url(url))
    if parts.scheme != "file":
        raise UrlError(f"{url!r} is not on this machine; it must look like file:///absolute/folder")
    # As `Path.as_uri` encodes it, which is not UTF-8 in every locale.
    return Path(os.fsdecode(unquote_to_bytes(parts.path)))
