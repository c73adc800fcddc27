"""The lock `web/requirements.lock`: the web service's packages for Linux on x86-64, with checksums.

`python -m container_image.lock` writes it from `web/requirements.txt`.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from console import run_command, say
from container_image.errors import ImageError
from container_image.settings import LOCK, PYTHONS

REQUIREMENTS = Path("web/requirements.txt")
_HEADER = """\
# The wheels of web/requirements.txt for Linux on x86-64 with CPython 3.11, 3.12 and 3.13, for
# `pip install --no-deps --require-hashes --only-binary=:all:`. Written by `make lock`.
"""
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[\w.+!]+)(?P<checksums>(?: --hash=sha256:\w{64})*)"
)


@dataclass(frozen=True)
class Locked:
    """checksums: SHA-256 of each wheel that is right."""

    name: str
    version: str
    checksums: frozenset[str]


def parse(text: str) -> list[Locked]:
    """Of a requirements file that has nothing but pins and checksums. Raises ImageError."""
    found: list[Locked] = []
    for line in re.sub(r" *\\\n *", " ", text).splitlines():
        pin = line.partition("#")[0].strip()
        if not pin:
            continue
        match = _PIN.fullmatch(pin)
        if match is None:
            raise ImageError(f"{LOCK}: {pin[:80]!r} is not NAME==VERSION with checksums")
        checksums = frozenset(part.rpartition(":")[2] for part in match["checksums"].split())
        found.append(Locked(normalised(match["name"]), match["version"], checksums))
    return found


def normalised(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(wheel: Path) -> str:
    return normalised(wheel.name.partition("-")[0])


def checksum_of(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def text_of(packages: Iterable[Locked]) -> str:
    lines = [_HEADER]
    for one in sorted(packages, key=lambda one: one.name):
        hashes = [f"    --hash=sha256:{checksum}" for checksum in sorted(one.checksums)]
        lines.append(" \\\n".join([f"{one.name}=={one.version}", *hashes]) + "\n")
    return "".join(lines)


def main() -> int:
    from container_image.sources import ROOT
    from container_image.wheels import download

    pinned = parse((ROOT / REQUIREMENTS).read_text(encoding="utf-8"))
    checksums: dict[str, set[str]] = {one.name: set() for one in pinned}
    for python in PYTHONS:
        say(f"downloading the packages for Python {python}")
        with tempfile.TemporaryDirectory() as folder:
            download(ROOT / REQUIREMENTS, python, Path(folder), threading.Event())
            for wheel in Path(folder).iterdir():
                checksums[name_of(wheel)].add(checksum_of(wheel))
    locked = [Locked(one.name, one.version, frozenset(checksums[one.name])) for one in pinned]
    (ROOT / LOCK).write_text(text_of(locked), encoding="utf-8")
    say(f"wrote {LOCK}")
    return 0


if __name__ == "__main__":
    run_command(main)
