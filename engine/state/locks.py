"""The lock of a stack: a file per holder, in the official format.

The format has no expiry, so a killed engine leaves its lock. A lock is stale, and is removed, if
its process on this host no longer runs; any other must be waited for or cancelled.
"""

from __future__ import annotations

import datetime
import getpass
import json
import os
import socket
import subprocess
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError
from engine.state import files

# Process start times are coarser than timestamps.
_START_TOLERANCE_SECONDS = 2.0


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

    def __str__(self) -> str:
        return f"{self.username}@{self.hostname} (pid {self.pid}) since {self.timestamp}"

    @property
    def is_stale(self) -> bool:
        """Whether the process that took the lock ran on this host and has exited.

        A process that started after the lock was taken merely reuses the PID.
        """
        if self.hostname != socket.gethostname() or self.pid <= 0:
            return False
        started = process_start_seconds(self.pid)
        if started is None:
            return True
        taken = _seconds(self.timestamp)
        return taken is not None and started > taken + _START_TOLERANCE_SECONDS


def _seconds(timestamp: str) -> float | None:
    """RFC 3339 as seconds since the epoch."""
    try:
        return datetime.datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return None


def process_start_seconds(pid: int) -> float | None:
    """When a running process started, in seconds since the epoch; None if there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The command's name is in parentheses and may contain anything.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        if fields[0] in "ZX":  # exited, but not yet reaped
            return None
        boot = next(
            float(line.split()[1])
            for line in Path("/proc/stat").read_text().splitlines()
            if line.startswith("btime ")
        )
        return boot + float(fields[19]) / os.sysconf("SC_CLK_TCK")
    listing = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    state, _, started = listing.stdout.strip().partition(" ")
    if listing.returncode != 0 or not started or state.startswith("Z"):
        return None
    return datetime.datetime.strptime(started.strip(), "%a %b %d %H:%M:%S %Y").timestamp()


def read_locks(folder: Path) -> list[Lock]:
    """All locks of a stack; an unreadable file counts as a lock of an unknown holder."""
    locks: list[Lock] = []
    for file in sorted(folder.glob("*.json")):
        try:
            content = json.loads(file.read_text())
            lock = Lock(
                file,
                int(content["pid"]),
                str(content["username"]),
                str(content["hostname"]),
                str(content["timestamp"]),
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
                "runs, run `python -m engine cancel`"
            )

    refuse_if_locked()
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "pid": os.getpid(),
        "username": _username(),
        "hostname": socket.gethostname(),
        "timestamp": datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z"),
    }
    # Written elsewhere, since every file in the folder counts as a lock.
    text = json.dumps(content, separators=(",", ":"))
    files.write_atomically(mine, text, durable=False, scratch=folder.parent)
    try:
        refuse_if_locked()
        yield mine
    finally:
        mine.unlink(missing_ok=True)


def _username() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return str(os.getuid())
