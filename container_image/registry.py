"""One repository of a registry, by the API of the OCI Distribution Specification.

A blob goes up with one POST and one PUT: Artifact Registry takes no chunks.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit

from requests import exceptions

from container_image.blob import Blob, BlobReader
from container_image.connection import Connection
from container_image.errors import KeptError, RefusedError, RegistryError
from container_image.login import Login, is_safe
from container_image.media_types import INDEXES, MANIFESTS
from container_image.reference import Reference

_MOST_DOCUMENT_BYTES = 8 << 20
_CHUNK_BYTES = 1 << 20
_OK, _CREATED, _ACCEPTED = 200, 201, 202
_FORBIDDEN, _NOT_FOUND, _NOT_ALLOWED = 403, 404, 405
_READER, _WRITER = "roles/artifactregistry.reader", "roles/artifactregistry.writer"


class Repository:
    """Reads and writes images. Close it after use, or use it in a `with`."""

    def __init__(self, reference: Reference, login: Login | None, stopped: threading.Event) -> None:
        self.host, self.name = reference.host, reference.repository
        self._connection = Connection(reference.host, login, stopped)
        self._url = f"{self._connection.url}/v2/{self.name}"

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def manifest(self, version: str) -> bytes:
        """The manifest or index of a tag or digest."""
        accepted = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}
        missing = f"there is no image {self.host}/{self.name} with the version {version}"
        with _in_words(missing, _READER):
            content = self._document(f"manifests/{version}", accepted)
        if version.startswith("sha256:") and digest_of(content) != version:
            raise RegistryError(f"{self.host} answers with another manifest than {version}")
        return content

    def small_blob(self, digest: str) -> bytes:
        """One that fits in memory, such as an image's config."""
        with _in_words(f"{self.host}/{self.name} lacks {digest}", _READER):
            content = self._document(f"blobs/{digest}", {})
        if digest_of(content) != digest:
            raise RegistryError(f"{self.host} answers with another content than {digest}")
        return content

    def has_manifest(self, digest: str) -> bool:
        # GET: unlike HEAD, its answer says why it is refused.
        headers = {"Accept": ", ".join(MANIFESTS)}
        return self._has("GET", f"manifests/{digest}", headers)

    def has_blob(self, digest: str) -> bool:
        return self._has("HEAD", f"blobs/{digest}", {})

    def download(self, blob: Blob, file: Path) -> None:
        """A layer, checked, to a file."""
        with _in_words(f"{self.host}/{self.name} lacks {blob.digest}", _READER):
            self._connection.again(lambda: self._download(blob, file))

    def upload(self, blob: Blob) -> None:
        """Unless the repository has it."""
        with _in_words(f"there is no repository {self.host}/{self.name}: create it", _WRITER):
            self._connection.again(lambda: self._upload(blob))

    def mount(self, digest: str, source: Repository) -> bool:
        """Take a blob over from another repository of the same registry, if it can do that."""
        if self.host != source.host:
            return False
        query = urlencode({"mount": digest, "from": source.name})
        url = f"{self._url}/blobs/uploads/?{query}"
        try:
            answer = self._connection.again(
                lambda: self._connection.send("POST", url, (_CREATED, _ACCEPTED))
            )
        except RefusedError:  # Then it is uploaded, which says what is wrong.
            return False
        return answer.status_code == _CREATED

    def put_manifest(self, content: bytes, media_type: str) -> str:
        """Its digest."""
        digest = digest_of(content)
        body = Blob.of_bytes(content)
        with _in_words(f"there is no repository {self.host}/{self.name}: create it", _WRITER):
            self._connection.again(
                lambda: self._connection.send(
                    "PUT",
                    f"{self._url}/manifests/{digest}",
                    (_CREATED,),
                    headers={"Content-Type": media_type},
                    body=lambda: BlobReader(body, self._connection.check_stopped),
                )
            )
        return digest

    def delete_manifest(self, digest: str) -> bool:
        """Whether it was there. Raises KeptError where no image can be deleted."""
        url = f"{self._url}/manifests/{digest}"
        expected = (_OK, _ACCEPTED, _NOT_FOUND, _NOT_ALLOWED)
        with _in_words(f"there is no repository {self.host}/{self.name}", _WRITER):
            answer = self._connection.again(lambda: self._connection.send("DELETE", url, expected))
        if answer.status_code == _NOT_ALLOWED:
            raise KeptError(f"{self.host} lets nobody delete images")
        return answer.status_code != _NOT_FOUND

    def _has(self, method: str, path: str, headers: dict[str, str]) -> bool:
        with _in_words("", _WRITER):
            return self._connection.again(lambda: self._has_at_once(method, path, headers))

    def _has_at_once(self, method: str, path: str, headers: dict[str, str]) -> bool:
        url, expected = f"{self._url}/{path}", (_OK, _NOT_FOUND)
        return self._connection.send(method, url, expected, headers=headers).status_code == _OK

    def _document(self, path: str, headers: dict[str, str]) -> bytes:
        def attempt() -> bytes:
            content = bytearray()
            for part in self._parts(path, headers):
                content += part
                if len(content) > _MOST_DOCUMENT_BYTES:
                    raise RegistryError(f"{self.host} answers with a document that is too long")
            return bytes(content)

        return self._connection.again(attempt)

    def _parts(self, path: str, headers: dict[str, str]) -> Iterator[bytes]:
        url = f"{self._url}/{path}"
        with self._connection.send("GET", url, (_OK,), headers=headers, stream=True) as answer:
            try:
                for part in answer.iter_content(_CHUNK_BYTES):
                    self._connection.check_stopped()
                    yield part
            except exceptions.RequestException as error:
                raise self._connection.cut(error) from None

    def _download(self, blob: Blob, file: Path) -> None:
        checksum, size = sha256(), 0
        with file.open("wb") as output:
            for part in self._parts(f"blobs/{blob.digest}", {}):
                output.write(part)
                checksum.update(part)
                size += len(part)
                if size > blob.size:
                    break
        if size != blob.size or f"sha256:{checksum.hexdigest()}" != blob.digest:
            raise RegistryError(f"{self.host} answers with another content than {blob.digest}")

    def _upload(self, blob: Blob) -> None:
        if self._has_at_once("HEAD", f"blobs/{blob.digest}", {}):
            return
        uploads = f"{self._url}/blobs/uploads/"
        begun = self._connection.send("POST", uploads, (_ACCEPTED,))
        place = urljoin(uploads, begun.headers.get("Location", ""))
        if not is_safe(place):
            raise RegistryError(f"{self.host} sends uploads to {place!r}, without TLS")
        separator = "&" if urlsplit(place).query else "?"
        self._connection.send(
            "PUT",
            f"{place}{separator}{urlencode({'digest': blob.digest})}",
            (_CREATED,),
            headers={"Content-Type": "application/octet-stream"},
            body=lambda: BlobReader(blob, self._connection.check_stopped),
        )


def digest_of(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


@contextmanager
def _in_words(missing: str, role: str) -> Generator[None]:
    """What 403 and 404 mean here. role: what Artifact Registry wants for it."""
    try:
        yield
    except RefusedError as error:
        if error.status == _NOT_FOUND:
            raise RegistryError(missing) from None
        if error.status != _FORBIDDEN:
            raise
        if "has not been used" in str(error) or "is disabled" in str(error):
            remedy = "type `gcloud services enable artifactregistry.googleapis.com`"
        else:
            remedy = f"you need {role} on the repository, or its equal"
        raise RegistryError(f"{error}: {remedy}") from None
