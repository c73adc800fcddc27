"""Files that are either the old ones or the new ones, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

# Beside the target until it is renamed; a killed engine may leave one behind.
TEMPORARY_SUFFIX = ".engine-tmp"


def write_atomically(
    path: Path, text: str, *, durable: bool = True, scratch: Path | None = None
) -> None:
    """Write the text elsewhere, then rename.

    durable: wait until the text is on the disk.
    scratch: where to write, on the same file system; beside the file unless given.
    """
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
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_temporaries(folder: Path, name: str) -> None:
    """Remove what killed writers of the named file have left behind."""
    for leftover in folder.glob(f"{name}.*{TEMPORARY_SUFFIX}"):
        with contextlib.suppress(OSError):
            leftover.unlink()
