"""The record of a local server: which process it is, whether it runs, and where.

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
from typing import IO, TYPE_CHECKING, Any, cast

import psutil

if TYPE_CHECKING:
    from infra.local.program import Program

RECORD_FILE = "server.json"
SERVER_NAMES = {"devserver": "model server", "web": "web service"}
"""What people call the server that a module of this project runs."""
_START_TIME_TOLERANCE_SECONDS = 1.0


@dataclass(frozen=True)
class ServerRecord:
    """What is known of a server that was started."""

    pid: int
    started: float = 0.0
    """Start time in seconds since the epoch. It moves when the clock is set."""
    module: str = "devserver"
    serves: str = ""
    """What it was started for: of the model server, the model's folder."""
    host: str = ""
    ports: tuple[int, ...] = ()
    locked: bool = False
    """Whether the server holds a lock on the record's file."""
    pid_namespace: str = ""
    """Where the PID is valid, as `pid_namespace` returns it."""
    hostname: str = ""

    @staticmethod
    def of_process(pid: int, program: Program, *, locked: bool) -> ServerRecord:
        """The record of a running process on this machine. Raises psutil.Error if it has ended."""
        return ServerRecord(
            pid=pid,
            started=psutil.Process(pid).create_time(),
            module=program.module,
            serves=program.serves,
            host=program.host,
            ports=tuple(program.ports.values()),
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
        found = _of_any_version(cast("dict[str, Any]", content))
        known = {f.name: found[f.name] for f in fields(ServerRecord) if f.name in found}
        if not isinstance(known.get("started", 0), int | float):
            return None
        numbers = (known.get("pid"), *known["ports"])
        if not all(isinstance(number, int) and number > 0 for number in numbers):
            return None
        return ServerRecord(**known)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class RunningServer:
    """A server that runs. `process` is None if it runs in another container or on another host."""

    record: ServerRecord
    process: psutil.Process | None

    @property
    def name(self) -> str:
        return SERVER_NAMES.get(self.record.module, self.record.module)

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


def log_file(state_folder: Path) -> Path:
    """The log of the server with this state folder, such as `.state/web/web.log`."""
    return state_folder / f"{state_folder.name}.log"


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
    values = {word.rpartition("=")[2] for word in command}
    expected = {record.serves, *map(str, record.ports[:1])}
    return record.module in command and expected <= values


def _of_any_version(content: dict[str, Any]) -> dict[str, Any]:
    """A record's entries; those of earlier versions, which knew the model server alone, too."""
    ports: Any = content.get("ports")
    if not isinstance(ports, list):
        ports = [content[key] for key in ("rest_port", "grpc_port") if content.get(key)]
    serves = content.get("serves", content.get("model_folder", ""))
    return {**content, "serves": serves, "ports": tuple(cast("list[Any]", ports))}
