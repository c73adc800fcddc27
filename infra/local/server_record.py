"""The record of the local server: which process it is, whether it runs, and where.

The server holds a lock (`flock`) on its record's file for as long as it lives. The kernel lets go
of it when the process ends, so while it is held the recorded PID is the server's, whatever happens
to the clock. A record without a lock, of an earlier version or on a file system without `flock`,
is judged by the process's start time and command line.

Imports no Pulumi: `client` reads the record too.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import socket
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any, cast

import psutil

RECORD_FILE = "server.json"
_START_TIME_TOLERANCE_SECONDS = 1.0


@dataclass(frozen=True)
class ServerRecord:
    """What is known of a server that was started."""

    pid: int
    started: float = 0.0
    """Start time in seconds since the epoch. It moves when the clock is set."""
    model_folder: str = ""
    host: str = ""
    rest_port: int = 0
    grpc_port: int = 0
    locked: bool = False
    """Whether the server holds a lock on the record's file."""
    pid_namespace: str = ""
    """Where the PID is valid, as `pid_namespace` returns it."""
    hostname: str = ""

    @staticmethod
    def of_process(
        pid: int, *, model_folder: Path, host: str, rest_port: int, grpc_port: int, locked: bool
    ) -> ServerRecord:
        """The record of a running process on this machine. Raises psutil.Error if it has ended."""
        return ServerRecord(
            pid=pid,
            started=psutil.Process(pid).create_time(),
            model_folder=str(model_folder),
            host=host,
            rest_port=rest_port,
            grpc_port=grpc_port,
            locked=locked,
            pid_namespace=pid_namespace(),
            hostname=socket.gethostname(),
        )

    @staticmethod
    def parse(text: str) -> ServerRecord | None:
        """The record in a file's text; None if the text is damaged."""
        try:
            content: Any = json.loads(text)
        except ValueError:
            return None
        if not isinstance(content, dict):
            return None
        found = cast("dict[str, Any]", content)
        known = {f.name: found[f.name] for f in fields(ServerRecord) if f.name in found}
        for name, kind in (("pid", int), ("started", int | float), ("rest_port", int)):
            if not isinstance(known.get(name, 0), kind):
                return None
        if known.get("pid", 0) <= 0:
            return None
        return ServerRecord(**known)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class RunningServer:
    """A server that runs. `process` is None if it runs in another container or on another host."""

    record: ServerRecord
    process: psutil.Process | None

    def __str__(self) -> str:
        if self.process is not None:
            return f"process {self.process.pid}"
        host = f" on {self.record.hostname}" if self.record.hostname else ""
        return f"process {self.record.pid}{host}, in another container or on another machine"


def running_server(state_folder: Path) -> RunningServer | None:
    """The server recorded in `state_folder`, or None if it does not run."""
    try:
        with (state_folder / RECORD_FILE).open(encoding="utf-8", errors="replace") as file:
            record = ServerRecord.parse(file.read())
            locked = is_locked(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if record is None:
        return None
    if locked:
        here = record.pid_namespace == pid_namespace()
        return RunningServer(record, _process(record.pid) if here else None)
    if record.locked and locked is not None:
        return None
    process = _unlocked_process(record)
    return RunningServer(record, process) if process is not None else None


def is_locked(file: IO[Any]) -> bool | None:
    """Whether another open file holds a lock on this one; None where `flock` is not supported."""
    try:
        # A shared lock, so that two who ask at once don't see each other's.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def pid_namespace() -> str:
    """Names the boot and the PID namespace of this process; empty where there are none (macOS)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _process(pid: int) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid)
    return None


def _unlocked_process(record: ServerRecord) -> psutil.Process | None:
    """The recorded process, unless it has ended and its PID was reused."""
    process = _process(record.pid)
    if process is None:
        return None
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        difference = abs(process.create_time() - record.started)
        # The command line is compared since the start time moves when the clock is set.
        if difference < _START_TIME_TOLERANCE_SECONDS or _serves(process.cmdline(), record):
            return process
    except psutil.Error:
        pass
    return None


def _serves(command: list[str], record: ServerRecord) -> bool:
    expected = {
        f"--model_base_path={record.model_folder}",
        f"--rest_api_port={record.rest_port}",
    }
    return "devserver" in command and expected <= set(command)
