"""A background server on this machine: starts it, finds it again, stops it.

The server gets the open, locked file of its record (see `server_record`), so that there is no
moment without a lock. Used by the `LocalModelServer` resource, and by `make down` after a killed
deployment.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import psutil

from infra.local import ports
from infra.local.server_record import RECORD_FILE, ServerRecord, is_locked, running_server
from infra.local.server_stop import stop, terminate
from serving.tensorflow_serving.batching import batching_parameters
from serving.tensorflow_serving.monitoring import monitoring_config

READY_TIMEOUT_SECONDS = 600.0
"""Long, for busy machines: half a minute is usual. A server that exits is noticed immediately."""
_POLL_SECONDS = 0.05
_PROGRESS_SECONDS = 4.0
_USUAL_START_SECONDS = 25.0
"""On two cores: importing TensorFlow takes 5 s, each signature's first run about 6 s."""
_PROBE_TIMEOUT_SECONDS = 5.0
_PROJECT_ROOT = Path(__file__).resolve().parents[2]

KEEP_WORD = b"keep\n"
"""Written to the server's standard input once it is ready. If the input closes before that, the
server exits: a killed deployment leaves no server behind."""


class ServerStartError(Exception):
    """The server did not start; the message says why and what to do."""


@dataclass(frozen=True)
class ServerOptions:
    """The model, the address and the limits of the server."""

    model_folder: Path
    model_name: str
    host: str
    rest_port: int
    grpc_port: int
    queue: int
    request_timeout_seconds: int


class ServerProcess:
    """The server recorded in a state folder, running or not."""

    def __init__(self, state_folder: Path) -> None:
        self._folder = state_folder
        self.log_file = state_folder / "server.log"
        self._record_file = state_folder / RECORD_FILE
        self._starting_file = self._record_file.with_suffix(".tmp")
        self._batching_file = state_folder / "batching.pbtxt"
        self._monitoring_file = state_folder / "monitoring.pbtxt"

    def start(self, options: ServerOptions, progress: Callable[[str], None]) -> int:
        """Start a server, wait until it is ready, and return its PID.

        Raises ServerStartError if a port is in use, the model does not load, or on a timeout.
        """
        wanted = {"restPort": options.rest_port, "grpcPort": options.grpc_port}
        if problem := ports.problem(options.host, wanted):
            raise ServerStartError(problem)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._batching_file.write_text(batching_parameters(options.queue), encoding="utf-8")
        self._monitoring_file.write_text(monitoring_config(), encoding="utf-8")
        progress(f"starting the server for {options.model_folder.name}")
        server = self._launch(options)
        try:
            self._record(server.pid, options)
            self._wait_until_ready(server, options, progress)
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
        for path in (self.log_file, self._batching_file, self._monitoring_file):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def is_serving(self, options: ServerOptions, pid: int | None = None) -> bool:
        """Whether the recorded server runs, with this model and address and, if given, this PID.

        It need not answer: a busy server is slow to.
        """
        server = running_server(self._folder)
        return (
            server is not None
            and pid in (None, server.record.pid)
            and server.record.host == options.host
            and server.record.rest_port == options.rest_port
            and server.record.model_folder == str(options.model_folder)
        )

    def _launch(self, options: ServerOptions) -> subprocess.Popen[bytes]:
        """Start the server; from its first moment it holds a lock on its coming record."""
        flags = {
            "host": options.host,
            "model_name": options.model_name,
            "model_base_path": str(options.model_folder),
            "port": options.grpc_port,
            "rest_api_port": options.rest_port,
            "rest_api_timeout_in_ms": options.request_timeout_seconds * 1000,
            "enable_batching": "true",
            "batching_parameters_file": str(self._batching_file),
            "monitoring_config_file": str(self._monitoring_file),
            "file_system_poll_wait_seconds": 0,
            "enable_grpc_healthcheck_service": "true",
            "stop_unless_kept": "true",
        }
        # A file of its own: the server of a killed deployment may still have the previous one.
        self._starting_file.unlink(missing_ok=True)
        with (
            self._starting_file.open("x", encoding="utf-8") as record,
            self.log_file.open("ab") as log,
        ):
            with contextlib.suppress(OSError):  # not every file system supports it
                fcntl.flock(record, fcntl.LOCK_EX)
            return subprocess.Popen(
                [sys.executable, "-m", "devserver", *(f"--{k}={v}" for k, v in flags.items())],
                cwd=_PROJECT_ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[record.fileno()],
            )

    def _record(self, pid: int, options: ServerOptions) -> None:
        with self._starting_file.open("r+", encoding="utf-8") as file:
            record = ServerRecord.of_process(
                pid,
                model_folder=options.model_folder,
                host=options.host,
                rest_port=options.rest_port,
                grpc_port=options.grpc_port,
                locked=bool(is_locked(file)),
            )
            file.write(record.to_json())
        self._starting_file.replace(self._record_file)

    def _forget(self) -> None:
        self._record_file.unlink(missing_ok=True)
        self._starting_file.unlink(missing_ok=True)

    def _wait_until_ready(
        self,
        server: subprocess.Popen[bytes],
        options: ServerOptions,
        progress: Callable[[str], None],
    ) -> None:
        started = reported = time.monotonic()
        while _state(options.host, options.rest_port, options.model_name) != "AVAILABLE":
            now = time.monotonic()
            if server.poll() is not None:
                raise ServerStartError(
                    f"the server exited while loading the model: {self._last_log_line()} "
                    f"(log: {self.log_file})"
                )
            if now - started > READY_TIMEOUT_SECONDS:
                raise ServerStartError(
                    f"the server was not ready after {READY_TIMEOUT_SECONDS:.0f} s "
                    f"(log: {self.log_file})"
                )
            if now - reported > _PROGRESS_SECONDS:
                spent, left = now - started, _USUAL_START_SECONDS - (now - started)
                rest = f"about {left:.0f} s left" if left >= 1 else f"{spent:.0f} s so far"
                progress(f"loading the model and warming up, {rest}")
                reported = now
            time.sleep(_POLL_SECONDS)
        progress(f"ready after {time.monotonic() - started:.1f} s")

    def _keep_running(self, server: subprocess.Popen[bytes]) -> None:
        pipe = cast(IO[bytes], server.stdin)
        pipe.write(KEEP_WORD)
        pipe.close()

    def _last_log_line(self) -> str:
        lines = self.log_file.read_text(errors="replace", encoding="utf-8").strip().splitlines()
        return lines[-1] if lines else "no output"


def _state(host: str, port: int, model_name: str) -> str | None:
    """The model's state from TF Serving's status endpoint; None without an answer."""
    import http.client

    connection = http.client.HTTPConnection(host, port, timeout=_PROBE_TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"/v1/models/{model_name}")
        body: Any = json.loads(connection.getresponse().read())
        return str(body["model_version_status"][0]["state"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError):
        return None
    finally:
        connection.close()
