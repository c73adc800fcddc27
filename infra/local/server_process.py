"""A background server on this machine: starts it, finds it again, stops it.

The server gets the open, locked file of its record (see `server_record`), so that there is no
moment without a lock. Used by the resources of this package, and by `make down` after a killed
deployment.
"""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import psutil

from console.kept import KEEP_LINE
from infra.local import ports
from infra.local.program import Program
from infra.local.server_record import (
    RECORD_FILE,
    SERVER_NAMES,
    ServerRecord,
    is_locked,
    log_file,
    running_server,
)
from infra.local.server_stop import stop, terminate

READY_TIMEOUT_SECONDS = 600.0
"""Long, for busy machines: half a minute is usual. A server that exits is noticed immediately."""
_POLL_SECONDS = 0.05
_PROGRESS_SECONDS = 4.0
_PROJECT_ROOT = Path(__file__).resolve().parents[2]


class ServerStartError(Exception):
    """The server did not start; the message says why and what to do."""


class ServerProcess:
    """The server recorded in a state folder, running or not."""

    def __init__(self, state_folder: Path) -> None:
        self._folder = state_folder
        self.log_file = log_file(state_folder)
        self._record_file = state_folder / RECORD_FILE
        self._starting_file = self._record_file.with_suffix(".tmp")

    def start(self, program: Program, progress: Callable[[str], None]) -> int:
        """Start a server, wait until it is ready, and return its PID.

        Raises ServerStartError if a port is in use, the program ends, or on a timeout.
        """
        if problem := ports.problem(program.host, program.ports):
            raise ServerStartError(problem)
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, text in program.files().items():
            (self._folder / name).write_text(text, encoding="utf-8")
        progress(f"starting the {SERVER_NAMES[program.module]} for {Path(program.serves).name}")
        server = self._launch(program)
        try:
            self._record(server.pid, program)
            self._wait_until_ready(server, program, progress)
            self._keep_running(server)
        except BaseException:
            terminate(psutil.Process(server.pid) if server.poll() is None else None)
            server.wait()
            self._forget()
            raise
        return server.pid

    def stop(self) -> None:
        """Stop the recorded server, if it runs, and wait until it has exited.

        Raises ServerStopError if this process cannot.
        """
        server = running_server(self._folder)
        if server is not None:
            stop(server)
        self._forget()

    def remove_files(self) -> None:
        """Remove the files of `start`, and the folder if it is then empty."""
        self._forget()
        for path in (self.log_file, *self._folder.glob("*.pbtxt")):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def is_serving(self, program: Program, pid: int | None = None) -> bool:
        """Whether the recorded server runs, as this program at its address and, if given, this PID.

        It need not answer: a busy server is slow to.
        """
        server = running_server(self._folder)
        return (
            server is not None
            and pid in (None, server.record.pid)
            and server.record.module == program.module
            and server.record.serves == program.serves
            and server.record.host == program.host
            and server.record.ports[:1] == tuple(program.ports.values())[:1]
        )

    def _launch(self, program: Program) -> subprocess.Popen[bytes]:
        """Start the server; from its first moment it holds a lock on its coming record."""
        # A file of its own: the server of a killed deployment may still have the previous one.
        self._starting_file.unlink(missing_ok=True)
        with (
            self._starting_file.open("x", encoding="utf-8") as record,
            self.log_file.open("ab") as log,
        ):
            with contextlib.suppress(OSError):  # not every file system supports it
                fcntl.flock(record, fcntl.LOCK_EX)
            return subprocess.Popen(
                [sys.executable, "-m", program.module, *program.arguments(self._folder)],
                cwd=_PROJECT_ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[record.fileno()],
            )

    def _record(self, pid: int, program: Program) -> None:
        with self._starting_file.open("r+", encoding="utf-8") as file:
            record = ServerRecord.of_process(pid, program, locked=bool(is_locked(file)))
            file.write(record.to_json())
        self._starting_file.replace(self._record_file)

    def _forget(self) -> None:
        self._record_file.unlink(missing_ok=True)
        self._starting_file.unlink(missing_ok=True)

    def _wait_until_ready(
        self,
        server: subprocess.Popen[bytes],
        program: Program,
        progress: Callable[[str], None],
    ) -> None:
        name = SERVER_NAMES[program.module]
        started = reported = time.monotonic()
        while not program.is_ready():
            now = time.monotonic()
            if server.poll() is not None:
                raise ServerStartError(
                    f"the {name} exited while {program.preparing}: {self._last_log_line()} "
                    f"(log: {self.log_file})"
                )
            if now - started > READY_TIMEOUT_SECONDS:
                raise ServerStartError(
                    f"the {name} was not ready after {READY_TIMEOUT_SECONDS:.0f} s "
                    f"(log: {self.log_file})"
                )
            if now - reported > _PROGRESS_SECONDS:
                spent, left = now - started, program.usual_start_seconds - (now - started)
                rest = f"about {left:.0f} s left" if left >= 1 else f"{spent:.0f} s so far"
                progress(f"{program.preparing}, {rest}")
                reported = now
            time.sleep(_POLL_SECONDS)
        progress(f"ready after {time.monotonic() - started:.1f} s")

    def _keep_running(self, server: subprocess.Popen[bytes]) -> None:
        pipe = cast(IO[bytes], server.stdin)
        pipe.write(KEEP_LINE)
        pipe.close()

    def _last_log_line(self) -> str:
        lines = self.log_file.read_text(errors="replace", encoding="utf-8").strip().splitlines()
        return lines[-1] if lines else "no output"
