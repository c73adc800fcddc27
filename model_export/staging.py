"""Temporary folders for exports, and the removal of those that a killed export left behind.

A staging folder's name contains its machine and process id, so that the next export can distinguish
folders of dead processes from those of exports that are still running.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

_PREFIX = ".export"


def own_folder(parent: Path) -> Path:
    """The path of this process's staging folder, while it has one."""
    return parent / f"{_PREFIX}-{_host()}-{os.getpid()}"


@contextlib.contextmanager
def staging_folder(parent: Path) -> Iterator[Path]:
    """An empty folder in parent, removed at the end in any case."""
    remove_abandoned(parent)
    parent.mkdir(parents=True, exist_ok=True)
    folder = own_folder(parent)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> list[Path]:
    """Removes the staging folders of dead processes of this machine; returns them."""
    pattern = re.compile(rf"{re.escape(f'{_PREFIX}-{_host()}-')}(\d{{1,9}})")
    removed: list[Path] = []
    for folder in parent.glob(f"{_PREFIX}-*"):
        match = pattern.fullmatch(folder.name)
        if match and not folder.is_symlink() and not _is_alive(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", socket.gethostname())


def _is_alive(pid: int) -> bool:
    """Whether another process has that id. A folder with our own id is from an earlier process."""
    return pid != os.getpid() and psutil.pid_exists(pid)
