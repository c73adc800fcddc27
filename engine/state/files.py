"""Atomic writes: a file has either its old or its new content, even after a crash."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

# Of a temporary file before its rename; a killed engine may leave one behind.
TEMPORARY_SUFFIX = ".engine-tmp"


def write_atomically(
    path: Path, text: str, *, durable: bool = True, scratch: Path | None = None
) -> None:
    """Write to a temporary file, then rename it.

    durable: wait until the text and its name are on disk.
    scratch: folder of the temporary file, on the same file system; by default the file's own.
    """
    with naming(path):
        _write_atomically(path, text, durable, scratch)


@contextlib.contextmanager
def naming(path: Path) -> Generator[None]:
    """Name the path in an error of the system that names none, as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def _write_atomically(path: Path, text: str, durable: bool, scratch: Path | None) -> None:
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(
        dir=scratch or path.parent, prefix=f"{path.name}.", suffix=TEMPORARY_SUFFIX
    )
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if path.exists():
            mode = path.stat().st_mode & 0o777
            temporary.chmod(mode)
        temporary.replace(path)
        if durable:
            for folder in (path.parent, *(made.parent for made in missing)):
                _sync_folder(folder)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # not every file system can
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporaries(folder: Path, name: str) -> None:
    """Remove temporary files left by killed writers of the named file."""
    for leftover in folder.glob(f"{name}.*{TEMPORARY_SUFFIX}"):
        with contextlib.suppress(OSError):
            leftover.unlink()
