"""The lock of the service's packages, for Linux."""

from __future__ import annotations

import re
import threading
from email.parser import Parser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from container_image.errors import ImageError
from container_image.lock import LOCK, REQUIREMENTS, Locked, normalised, parse, text_of
from container_image.publish import CACHE
from container_image.settings import PYTHONS
from container_image.sources import ROOT
from container_image.wheels import wheels

TEXT = (ROOT / LOCK).read_text(encoding="utf-8")


def test_the_lock_has_exactly_the_pinned_packages() -> None:
    pinned = parse((ROOT / REQUIREMENTS).read_text(encoding="utf-8"))
    names = [(one.name, one.version) for one in parse(TEXT)]
    assert names == sorted((one.name, one.version) for one in pinned), "type `make lock`"


def test_each_package_has_checksums_and_there_is_no_marker_and_no_host() -> None:
    assert all(one.checksums for one in parse(TEXT))
    assert ";" not in TEXT
    assert not re.search(r"https?:|--(index|find|extra)|@", TEXT)


def test_the_lock_is_written_as_it_is_read() -> None:
    assert text_of(parse(TEXT)) == TEXT


@pytest.mark.parametrize(
    "line",
    [
        'anyio==4.0 ; python_version < "3.12"',
        "anyio>=4.0",
        "anyio",
        "anyio @ https://registry.example/anyio.whl",
        "--index-url https://registry.example",
        "anyio==4.0 --hash=md5:00",
    ],
)
def test_what_is_not_a_pin_with_checksums_is_refused(line: str) -> None:
    with pytest.raises(ImageError, match="is not NAME==VERSION with checksums"):
        parse(line)


def test_names_are_compared_as_indexes_do() -> None:
    line = f"Typing_Extensions==4.0 \\\n    --hash=sha256:{'a' * 64}\n"
    assert parse(line) == [Locked("typing-extensions", "4.0", frozenset({"a" * 64}))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "python", [PYTHONS[-1], *(pytest.param(p, marks=pytest.mark.long) for p in PYTHONS[:-1])]
)
def test_the_lock_is_complete_for_each_python(python: str) -> None:
    try:
        found = wheels(ROOT / LOCK, python, CACHE, threading.Event(), print)
    except ImageError as error:
        pytest.skip(f"needs a package index: {error}")
    locked = {one.name for one in parse(TEXT)}
    target: dict[str, Any] = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    for wheel in found:
        for line in _metadata(wheel).get_all("Requires-Dist") or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate(target):
                assert normalised(needed.name) in locked, f"{wheel.name} needs {line}"


def _metadata(wheel: Path) -> Any:
    with ZipFile(wheel) as archive:
        name = next(one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())
