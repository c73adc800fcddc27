"""The lock of a stack: a file per holder, in the official format.

The format has no expiry, so a killed engine leaves its lock. A lock is stale, and is removed, if
its process on this host has surely ended; any other must be waited for or cancelled.

This engine also locks its lock file with `flock` while it runs, so the kernel tells whether it
does. Of an official lock only the PID is known: it is stale if no process that this one can see
has that PID in any PID namespace. Neither start times nor the timestamp count: clocks are set.
"""

from __future__ import annotations

import datetime
import fcntl
import getpass
import json
import os
import socket
import subprocess
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from engine import hints
from engine.errors import EngineError
from engine.state import files

_FLOCK_KEY = "flock"
"""In a lock file's content: its holder locks the file itself. The official CLI ignores the key."""

_OFFICIAL_PROGRAM = "pulumi"

# PROC_PID_INIT_INO and PROC_UTS_INIT_INO of Linux's include/linux/proc_ns.h.
_FIRST_PID_NAMESPACE = "pid:[4026531836]"
_FIRST_UTS_NAMESPACE = "uts:[4026531838]"


class LockedError(EngineError):
    """Another process holds the stack's lock."""


@dataclass(frozen=True)
class Lock:
    """A lock file and its content."""

    file: Path
    pid: int
    username: str
    hostname: str
    timestamp: str
    has_flock: bool = False

    def __str__(self) -> str:
        return f"{self.username}@{self.hostname} (pid {self.pid}) since {self.timestamp}"

    @property
    def is_stale(self) -> bool:
        """Whether the process that took the lock ran on this host and has surely ended."""
        if self.hostname != socket.gethostname() or self.pid <= 0:
            return False
        if self.has_flock:
            return _is_locked(self.file) is False
        return _shows_all_of_this_host() and not _is_running(self.pid)

    @property
    def is_in_use(self) -> bool:
        """Whether the operation that took the lock surely runs."""
        if self.has_flock:
            return _is_locked(self.file) is True
        is_here = self.hostname == socket.gethostname() and self.pid > 0
        return is_here and _ps("comm", self.pid).rpartition("/")[2] == _OFFICIAL_PROGRAM


def _is_locked(file: Path) -> bool | None:
    """Whether an open file holds a lock on this one; None if that cannot be told."""
    try:
        with file.open(encoding="utf-8") as opened:
            # A shared lock, so that two who ask at once don't see each other's.
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return None


def _shows_all_of_this_host() -> bool:
    """Whether all processes with this host's name can be seen from here.

    Not from a container that has its own PIDs but the name of its host.
    """
    try:
        spaces = [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("pid", "uts")]
    except OSError:
        return True  # not Linux: no namespaces
    return spaces[0] == _FIRST_PID_NAMESPACE or spaces[1] != _FIRST_UTS_NAMESPACE


def _is_running(pid: int) -> bool:
    """Whether a process has this PID, here or in a container on this host."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return _runs_in_a_container(pid)
    except (PermissionError, OverflowError):
        return True
    return not _is_zombie(pid)


def _runs_in_a_container(pid: int) -> bool:
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):  # it has ended meanwhile
            for line in status.read_text(errors="replace", encoding="utf-8").splitlines():
                if line.startswith("NSpid:") and str(pid) in line.split()[2:]:
                    return True
    return False


def _is_zombie(pid: int) -> bool:
    """Whether the process has ended and was not yet waited for."""
    if Path("/proc/self/stat").exists():
        with suppress(OSError):
            # The command's name is in parentheses and may contain anything.
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace", encoding="utf-8")
            return stat.rpartition(")")[2].split()[0] in "ZX"
        return False
    return _ps("stat", pid).startswith("Z")


def _ps(column: str, pid: int) -> str:
    """What `ps` says of a process; empty if there is none, or no `ps`."""
    command = ["ps", "-o", f"{column}=", "-p", str(pid)]
    try:
        listing = subprocess.run(command, capture_output=True, errors="replace", check=False)
    except OSError:
        return ""
    return listing.stdout.strip()


def read_locks(folder: Path) -> list[Lock]:
    """All locks of a stack; an unreadable file counts as a lock of an unknown holder."""
    locks: list[Lock] = []
    for file in sorted(folder.glob("*.json")):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            lock = Lock(
                file,
                int(content["pid"]),
                str(content["username"]),
                str(content["hostname"]),
                str(content["timestamp"]),
                content.get(_FLOCK_KEY) is True,
            )
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError):
            lock = Lock(file, 0, "unknown user", "unknown host", "unknown time")
        locks.append(lock)
    return locks


def remove(lock: Lock) -> None:
    lock.file.unlink(missing_ok=True)
    lock.file.with_name(f"{lock.file.name}.attrs").unlink(missing_ok=True)


def remove_stale_locks(folder: Path) -> list[Lock]:
    """Remove the stale locks and return them."""
    stale = [lock for lock in read_locks(folder) if lock.is_stale]
    for lock in stale:
        remove(lock)
    return stale


@contextmanager
def held(folder: Path) -> Generator[Path]:
    """Hold the stack's lock: check, write the own file, check again."""
    mine = folder / f"{uuid.uuid4()}.json"

    def refuse_if_locked() -> None:
        others = [lock for lock in read_locks(folder) if lock.file != mine]
        if others:
            holders = ", ".join(str(lock) for lock in others)
            raise LockedError(
                f"the stack is locked by {holders}: wait for it to finish, or, if it no longer "
                f"runs, run `{hints.command('cancel', folder.name)}`"
            )

    refuse_if_locked()
    folder.mkdir(parents=True, exist_ok=True)
    # Written elsewhere, since every file in the folder counts as a lock.
    scratch = folder.parent / f"{mine.name}{files.TEMPORARY_SUFFIX}"
    with scratch.open("xb", buffering=0) as file:  # its lock is held until it is closed
        try:
            content = json.dumps(_content(_locked(file)), separators=(",", ":"))
            with files.naming(mine):
                file.write(content.encode())
                scratch.replace(mine)
            refuse_if_locked()
            yield mine
        finally:
            scratch.unlink(missing_ok=True)
            mine.unlink(missing_ok=True)


def _locked(file: IO[bytes]) -> bool:
    """Lock the open file; False where the file system does not support it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _content(has_flock: bool) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "username": _username(),
        "hostname": socket.gethostname(),
        "timestamp": datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z"),
        **({_FLOCK_KEY: True} if has_flock else {}),
    }


def _username() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return str(os.getuid())
