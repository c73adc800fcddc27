"""Temporary folders for exports, and the removal of those that a killed export left behind.

A staging folder's name contains its machine and process id, so that the next export can distinguish
folders of dead processes from those of exports that are still running. A running export also holds
a lock on its folder: in another container on this machine, its process id means nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
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
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield folder
    finally:
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> list[Path]:
    """Removes the staging folders of dead processes of this machine; returns them."""
    pattern = re.compile(rf"{re.escape(f'{_PREFIX}-{_host()}-')}(\d{{1,9}})")
    removed: list[Path] = []
    for folder in parent.glob(f"{_PREFIX}-*"):
        match = pattern.fullmatch(folder.name)
        if match and not folder.is_symlink() and not _is_used(folder, int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", socket.gethostname())


def _is_used(folder: Path, pid: int) -> bool:
    """A folder with our own id that is not locked is from an earlier process."""
    if pid != os.getpid() and psutil.pid_exists(pid):
        return True
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """False if another process holds it. Some network file systems cannot lock a folder."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
