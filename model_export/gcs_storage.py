"""Models in Google Cloud Storage, with the credentials of the user who runs the program.

Objects appear whole or not at all. Each has its SHA-256 and its CRC32C as metadata, written
together with the content. The service computes a CRC32C of what it stores: as long as the two
match, the SHA-256 is that of the content, and no download is needed to check it.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import google_crc32c
from google.api_core.exceptions import (
    Forbidden,
    GoogleAPIError,
    NotFound,
    PreconditionFailed,
    Unauthorized,
)
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage import transfer_manager

from model_export.checksums import sha256_of
from model_export.gcs_lock import GcsLock, retention
from model_export.locks import Lock
from model_export.manifest import MANIFEST_NAME, checked_path
from model_export.storage import ChangedError, RetainedError, StorageError

_SHA256, _CRC32C = "sha256", "crc32c"
_PARALLEL_UPLOADS = 8
_PERMISSIONS = tuple(f"storage.objects.{verb}" for verb in ("list", "get", "create", "delete"))
_QUOTA_PROJECT_REFUSED = ("serviceusage.services.use", "has not been used in project")
_CHUNK_BYTES = 32 * 2**20
"""Size of an upload's chunks; a chunk is sent again when the connection breaks."""
_READ_BYTES = 1 << 20
_TIMEOUT_SECONDS = 300.0


class GcsStorage:
    """A folder in a bucket, as gs://bucket/folder."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self._bucket_name = parts.netloc
        self._prefix = unquote(parts.path).strip("/") + "/"
        self._generations: dict[str, int] = {}
        """The version of each path that was last seen; 0 for none."""
        self._is_listed = False

    def check_access(self) -> None:
        with self._explained():
            granted = self._bucket().test_iam_permissions(list(_PERMISSIONS))
            missing = [name for name in _PERMISSIONS if name not in granted]
            if missing:
                raise StorageError(self._refusal(f"{missing[0]} is not granted"))

    def try_lock(self, expired: int | None = None) -> Lock:
        folder, _, name = self._prefix.rstrip("/").rpartition("/")
        path = f"{folder}/.{name}.lock" if folder else f".{name}.lock"
        return GcsLock.take(self._bucket(), path, self._explained, expired)

    def models(self) -> list[str]:
        with self._explained():
            found = _client().list_blobs(self._bucket_name, prefix=self._prefix, delimiter="/")
            list(found)
            return sorted(
                prefix.removeprefix(self._prefix).rstrip("/")
                for prefix in found.prefixes
                if self._bucket().blob(f"{prefix}{MANIFEST_NAME}").exists()
            )

    def sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        generations: dict[str, int] = {}
        with self._explained(), contextlib.suppress(NotFound):
            for blob in _client().list_blobs(self._bucket_name, prefix=self._prefix):
                path = blob.name.removeprefix(self._prefix)
                sizes[path], generations[path] = int(blob.size), blob.generation
        self._generations, self._is_listed = generations, True
        return sizes

    def paths(self) -> list[str]:
        return list(self.sizes())

    def sha256(self, path: str) -> str | None:
        with self._explained():
            blob = self._bucket().get_blob(self._name(path))
            if blob is None:
                return None
            known = blob.metadata or {}
            if _SHA256 in known and known.get(_CRC32C) == blob.crc32c:
                return known[_SHA256]
            return sha256(blob.download_as_bytes()).hexdigest()

    def read(self, path: str) -> bytes | None:
        blob = self._blob(path)
        with self._explained(), contextlib.suppress(NotFound):
            content = blob.download_as_bytes()
            self._generations[path] = blob.generation
            return content
        self._generations[path] = 0
        return None

    def put(self, source: Path, path: str) -> None:
        self.put_all([(source, path)], lambda _path: None)

    def put_all(self, files: Sequence[tuple[Path, str]], on_put: Callable[[str], None]) -> None:
        for i in range(0, len(files), _PARALLEL_UPLOADS):
            batch = files[i : i + _PARALLEL_UPLOADS]
            pairs = [(str(source), self._new_blob(path, source)) for source, path in batch]
            options = {"checksum": "crc32c", "timeout": _TIMEOUT_SECONDS, "if_generation_match": 0}
            with self._explained():
                results = transfer_manager.upload_many(
                    pairs,
                    skip_if_exists=True,
                    worker_type=transfer_manager.THREAD,
                    max_workers=_PARALLEL_UPLOADS,
                    raise_exception=True,
                    upload_kwargs=options,
                )
            for (source, path), (_, blob), result in zip(batch, pairs, results, strict=True):
                if result is None:
                    self._generations[path] = blob.generation
                # A repeated request is told that there is one if its first response was lost.
                elif self.sha256(path) != sha256_of(source):
                    raise self._changed(path)
                on_put(path)

    def write(self, content: bytes, path: str) -> None:
        blob = self._blob(path)
        with self._explained():
            try:
                blob.upload_from_string(
                    content,
                    checksum="crc32c",
                    timeout=_TIMEOUT_SECONDS,
                    if_generation_match=self._seen(path),
                )
            except PreconditionFailed:
                # Perhaps its own, as above.
                if self.read(path) != content:
                    raise self._changed(path) from None
            else:
                self._generations[path] = blob.generation

    def delete(self, path: str) -> None:
        seen = self._seen(path)
        if seen == 0:
            return
        with self._explained(), contextlib.suppress(NotFound):
            try:
                self._blob(path).delete(if_generation_match=seen)
            except PreconditionFailed:
                raise self._changed(path) from None
        self._generations[path] = 0

    def _seen(self, path: str) -> int | None:
        """The version that may be replaced; None if this object has not looked."""
        return self._generations.get(path, 0 if self._is_listed else None)

    def _changed(self, path: str) -> ChangedError:
        return ChangedError(f"{self.url}/{path} was changed by another process; run again")

    def remove_empty_folders(self) -> None:
        """Nothing to do: buckets have no folders, only names with slashes."""

    def _new_blob(self, path: str, source: Path) -> Any:
        # Only uploads are chunked: a chunked download would skip the CRC32C check.
        blob = self._bucket().blob(self._name(path), chunk_size=_CHUNK_BYTES)
        blob.metadata = {_SHA256: sha256_of(source), _CRC32C: _crc32c_of(source)}
        return blob

    def _blob(self, path: str) -> Any:
        return self._bucket().blob(self._name(path))

    def _bucket(self) -> Any:
        return _client().bucket(self._bucket_name)

    def _name(self, path: str) -> str:
        return self._prefix + str(checked_path(path))

    def _refusal(self, reason: str) -> str:
        return (
            f"{self.url}: no permission to read and write there ({reason}); you need "
            f"roles/storage.objectUser on gs://{self._bucket_name}"
        )

    def _explained_refusal(self, reason: str) -> str:
        if any(sign in reason for sign in _QUOTA_PROJECT_REFUSED):
            return (
                f"{self.url}: the quota project of your credentials is refused ({reason}); choose "
                "one with `gcloud auth application-default set-quota-project PROJECT`"
            )
        return self._refusal(reason)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns the client library's errors into one line with a remedy."""
        try:
            yield
        except GoogleAuthError as error:
            raise StorageError(
                f"{self.url}: no usable Google credentials ({_one_line(error)}); run `gcloud auth "
                "application-default login`"
            ) from error
        except (Forbidden, Unauthorized) as error:
            if reason := retention(error):
                raise RetainedError(f"{self.url} stays as it is: {reason}") from error
            raise StorageError(self._explained_refusal(_one_line(error))) from error
        except NotFound as error:
            raise StorageError(f"{self.url}: there is no bucket {self._bucket_name}") from error
        except GoogleAPIError as error:
            raise StorageError(f"{self.url}: {_one_line(error)}") from error


@functools.cache
def _client() -> Any:
    with warnings.catch_warnings():
        # Of users without a quota project; an object is billed to its bucket's project.
        warnings.filterwarnings("ignore", "Your application has authenticated", UserWarning)
        # Only lists of buckets need a project. By default, it is an error if none can be guessed.
        return storage.Client(project=None)


def _crc32c_of(path: Path) -> str:
    """In the service's notation."""
    checksum = google_crc32c.Checksum()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            checksum.update(chunk)
    return base64.b64encode(checksum.digest()).decode()


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
