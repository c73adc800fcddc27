"""Models in Google Cloud Storage, with the credentials of whoever runs the program.

Objects appear whole or not at all. Each carries its SHA-256 as metadata, written together with
the content, whose transfer the service checks by CRC32C: so a checksum costs no download.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthorized
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage

from model_export.manifest import checked_path, sha256_of
from model_export.storage import StorageError

_SHA256 = "sha256"
_CHUNK_BYTES = 32 * 2**20
"""How much of a large file is sent at a time, and again when a connection breaks."""
_TIMEOUT_SECONDS = 300.0


class GcsStorage:
    """A folder of a bucket, as gs://bucket/folder."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self._bucket_name = parts.netloc
        self._prefix = unquote(parts.path).strip("/") + "/"

    def sizes(self) -> dict[str, int]:
        with self._explained(), contextlib.suppress(NotFound):
            blobs = _client().list_blobs(self._bucket_name, prefix=self._prefix)
            return {blob.name.removeprefix(self._prefix): int(blob.size) for blob in blobs}
        return {}

    def sha256(self, path: str) -> str:
        with self._explained():
            blob = self._bucket().get_blob(self._name(path))
            if blob is None:
                raise StorageError(f"{self.url}/{path} is not there")
            known = (blob.metadata or {}).get(_SHA256)
            return known or sha256(blob.download_as_bytes()).hexdigest()

    def read(self, path: str) -> bytes | None:
        with self._explained(), contextlib.suppress(NotFound):
            return self._blob(path).download_as_bytes()
        return None

    def put(self, source: Path, path: str) -> None:
        self._upload(
            path,
            sha256_of(source),
            lambda blob: blob.upload_from_filename(
                str(source), checksum="crc32c", timeout=_TIMEOUT_SECONDS
            ),
        )

    def write(self, content: bytes, path: str) -> None:
        self._upload(
            path,
            sha256(content).hexdigest(),
            lambda blob: blob.upload_from_string(
                content, checksum="crc32c", timeout=_TIMEOUT_SECONDS
            ),
        )

    def delete(self, path: str) -> None:
        with self._explained(), contextlib.suppress(NotFound):
            self._blob(path).delete()

    def remove_empty_folders(self) -> None:
        """Nothing to do: a bucket has no folders, only names with slashes."""

    def _upload(self, path: str, checksum: str, send: Callable[[Any], object]) -> None:
        with self._explained():
            # Only for sending: a download in chunks would lose its check by CRC32C.
            blob = self._bucket().blob(self._name(path), chunk_size=_CHUNK_BYTES)
            blob.metadata = {_SHA256: checksum}
            send(blob)

    def _blob(self, path: str) -> Any:
        return self._bucket().blob(self._name(path))

    def _bucket(self) -> Any:
        return _client().bucket(self._bucket_name)

    def _name(self, path: str) -> str:
        return self._prefix + str(checked_path(path))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns the client library's errors into one line that says what to do."""
        try:
            yield
        except GoogleAuthError as error:
            raise StorageError(
                f"{self.url}: no usable Google credentials ({_one_line(error)}): run `gcloud auth "
                "application-default login`"
            ) from error
        except (Forbidden, Unauthorized) as error:
            raise StorageError(
                f"{self.url}: you may not read and write there ({_one_line(error)}): it takes "
                f"roles/storage.objectUser on gs://{self._bucket_name}"
            ) from error
        except NotFound as error:
            raise StorageError(f"{self.url}: there is no bucket {self._bucket_name}") from error
        except GoogleAPIError as error:
            raise StorageError(f"{self.url}: {_one_line(error)}") from error


@functools.cache
def _client() -> Any:
    return storage.Client()


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
