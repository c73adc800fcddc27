"""The layer with the packages and the service: the same bytes from the same content, anywhere."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from container_image.blob import Blob
from container_image.errors import ImageError
from container_image.settings import FOLDER, PACKAGES

_LEVEL = 6
_KEPT_DATA = ("purelib", "platlib")

Entries = dict[str, Callable[[], bytes]]
"""The content of each file of the layer."""


@dataclass(frozen=True)
class Layer:
    """diff_id: the digest of the uncompressed archive."""

    blob: Blob
    diff_id: str


def write_layer(root: Path, sources: Iterable[Path], wheels: Iterable[Path], file: Path) -> Layer:
    """Write the layer to `file`: `sources` of the checkout and what is in the wheels."""
    entries: Entries = {
        f"{FOLDER}/{source.as_posix()}": (root / source).read_bytes for source in sources
    }
    with ExitStack() as opened:
        for wheel in wheels:
            archive = opened.enter_context(zipfile.ZipFile(wheel))
            for name, content in _unpacked(archive, wheel).items():
                if name in entries:
                    raise ImageError(f"{wheel.name} has {name}, which another package has too")
                entries[name] = content
        with file.open("wb") as output:
            return _write(entries, output, file)


def _write(entries: Entries, output: BinaryIO, file: Path) -> Layer:
    compressed = _Checksum(output)
    # Neither a file's name nor a time gets into gzip's header.
    with gzip.GzipFile("", "wb", _LEVEL, compressed, mtime=0) as zipped:
        plain = _Checksum(zipped)
        with tarfile.open(mode="w|", fileobj=plain, format=tarfile.PAX_FORMAT) as archive:
            for folder in _folders(entries):
                archive.addfile(_member(folder, tarfile.DIRTYPE, 0o755))
            for name in sorted(entries):
                content = entries[name]()
                member = _member(name, tarfile.REGTYPE, 0o644)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return Layer(Blob(compressed.digest, compressed.size, file), plain.digest)


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    """Of root, whose files the service cannot write, and from no time."""
    member = tarfile.TarInfo(name)
    member.type, member.mode = kind, mode
    return member


def _folders(names: Iterable[str]) -> list[str]:
    return sorted({str(one) for name in names for one in PurePosixPath(name).parents} - {"."})


def _unpacked(archive: zipfile.ZipFile, wheel: Path) -> Entries:
    """As pip would install it, without scripts and other things beside modules."""
    return {
        f"{PACKAGES}/{place}": lambda name=name: archive.read(name)
        for name in archive.namelist()
        if (place := _place(name, wheel))
    }


def _place(name: str, wheel: Path) -> str:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts:
        raise ImageError(f"{wheel.name} has a file outside of itself: {name}")
    if name.endswith("/"):
        return ""
    if parts[0].endswith(".data"):
        return "/".join(parts[2:]) if parts[1] in _KEPT_DATA else ""
    return "/".join(parts)


class _Checksum(io.RawIOBase):
    """Passes on what is written, and knows its digest and size."""

    def __init__(self, output: BinaryIO | gzip.GzipFile) -> None:
        self._output, self._checksum, self.size = output, sha256(), 0

    @property
    def digest(self) -> str:
        return f"sha256:{self._checksum.hexdigest()}"

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._checksum.update(data)
        self.size += len(data)
        self._output.write(data)
        return len(data)
