"""One process at a time publishes to a model folder, or deletes it.

Stacks with equal models share a folder. Whoever writes or deletes there holds its lock, so that
none removes what another is writing or has just adopted. On this machine it is a locked file beside
the folder: the kernel frees it when its holder ends, however that ends. Where files cannot be
locked, a warning takes its place. `gcs_lock` has the one for buckets.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

import console

EXPIRY_SECONDS = 60.0
"""A holder in a bucket that gives no sign of life for so long is taken for dead."""
_SAY_AGAIN_SECONDS = 15.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 2.0
_WITHOUT_LOCKS = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK)
_FILE_NAME = re.compile(r"\.[0-9a-f]{16}\.lock")


class BusyError(RuntimeError):
    """Another process holds the lock.

    sign_of_life changes as long as it lives; None if the lock of a dead process is free anyway.
    """

    def __init__(self, holder: str, sign_of_life: int | None = None) -> None:
        super().__init__(f"in use by {holder}")
        self.holder = holder
        self.sign_of_life = sign_of_life


class LockLostError(RuntimeError):
    """Another process has taken the lock over; the message is the line to show."""


class Lock(Protocol):
    def check(self) -> None:
        """Raises LockLostError if this process no longer holds it."""
        ...

    def close(self) -> None:
        """Releases it."""
        ...


class Lockable(Protocol):
    url: str

    def try_lock(self, expired: int | None = None) -> Lock:
        """The folder's lock. Raises BusyError if another process holds it.

        expired: the last sign of life of a dead holder, whose lock is taken over.
        """
        ...


def this_process() -> str:
    """What others are told about who holds a lock."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@contextlib.contextmanager
def locked(storage: Lockable, say: Callable[[str], object] = console.say) -> Iterator[Lock]:
    """Holds the folder's lock; says who has it while waiting for it."""
    with contextlib.closing(_wait_for(storage, say)) as lock:
        yield lock


def _wait_for(storage: Lockable, say: Callable[[str], object]) -> Lock:
    began = time.monotonic()
    pause, said, seen, seen_at = _FIRST_PAUSE_SECONDS, float("-inf"), None, began
    while True:
        now = time.monotonic()
        is_dead = seen is not None and now - seen_at >= EXPIRY_SECONDS
        try:
            return storage.try_lock(seen if is_dead else None)
        except BusyError as busy:
            if busy.sign_of_life != seen:
                seen, seen_at = busy.sign_of_life, now
            if now - said >= _SAY_AGAIN_SECONDS:
                said = now
                waited = f", for {now - began:.0f} s so far" if now - began >= 1 else ""
                say(f"waiting for {busy.holder}, which is working on {storage.url}{waited}")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


class FileLock:
    """A lock on a file that names its holder, and is removed when it is released."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self._path, self._file = path, file

    @classmethod
    def take(cls, path: Path) -> FileLock:
        """Raises BusyError if another process holds it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = path.open("a+", encoding="utf-8")
            try:
                _lock(file, path)
                lock = cls(path, file)
                if lock._is_there():
                    file.truncate(0)
                    file.write(this_process())
                    file.flush()
                    return lock
            except BaseException:
                file.close()
                raise
            file.close()  # its last holder has removed it since it was opened

    def check(self) -> None:
        if not self._is_there():
            raise LockLostError(f"{self._path} was removed by somebody; run again")

    def close(self) -> None:
        if self._is_there():
            self._path.unlink()
        self._file.close()

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False


def _lock(file: IO[str], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise BusyError(file.read(200).strip() or "another process") from None
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            error.filename = str(path)
            raise
        console.say(
            f"warning: {path.parent} is on a file system without locks: "
            "publish and delete models there one at a time"
        )


def remove_free_locks(parent: Path) -> None:
    """Removes the lock files of dead processes."""
    for path in parent.glob(".*.lock"):
        if _FILE_NAME.fullmatch(path.name):
            with contextlib.suppress(BusyError):
                FileLock.take(path).close()
