"""Which files of this checkout the web service consists of, and the identity of its image."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from container_image.errors import ImageError
from container_image.imports import followed
from container_image.settings import LOCK, RUN

ROOT = Path(__file__).resolve().parents[1]
START = "web.__main__"
DATA = (
    "web/page/source/*.html",
    "web/page/source/*.css",
    "web/page/source/*.js",
    "model_export/assets/bpe_simple_vocab_16e6.*",
    "LICENSE",
)
"""What is read, not imported."""


def sources(root: Path = ROOT) -> list[Path]:
    """The files, as paths in the checkout."""
    found = set(followed(root, START).files)
    for pattern in DATA:
        files = [file.relative_to(root) for file in root.glob(pattern) if file.is_file()]
        if not files:
            raise ImageError(f"{root / pattern}: there is no such file, which the service needs")
        found |= set(files)
    return sorted(found)


def content_identity(root: Path = ROOT) -> str:
    """Of all that goes into the layer, and of how it is run. Takes no network and no wheel."""
    checksum = sha256(json.dumps(RUN, sort_keys=True).encode())
    for file in (LOCK, *sources(root)):
        content = (root / file).read_bytes()
        checksum.update(f"\0{file.as_posix()}\0{len(content)}\0".encode() + content)
    return checksum.hexdigest()[:32]
