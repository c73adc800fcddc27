"""A background server on this machine: starts it, finds it again, stops it.

A record file has the process's PID and start time, so that another process with a reused PID is
never mistaken for the server. Used by the `LocalModelServer` resource, and through
`python -m infra.server_process` by `make down`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

import psutil

from infra.batching import batching_parameters
from infra.monitoring import monitoring_config

READY_TIMEOUT_SECONDS = 600.0
"""Long, for busy machines: half a minute is usual. A server that exits is noticed immediately."""
STOP_TIMEOUT_SECONDS = 20.0
_POLL_SECONDS = 0.05
_PROGRESS_SECONDS = 4.0
_USUAL_START_SECONDS = 25.0
"""On two cores: importing TensorFlow takes 5 s, each signature's first run about 6 s."""
_PROBE_TIMEOUT_SECONDS = 5.0
_START_TIME_TOLERANCE_SECONDS = 1.0
_PROJECT_ROOT = Path(__file__).resolve().parents[1]

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


@dataclass(frozen=True)
class _Record:
    pid: int
    started: float
    model_folder: str
    host: str
    rest_port: int


class ServerProcess:
    """The server recorded in a state folder, running or not."""

    def __init__(self, state_folder: Path) -> None:
        self._folder = state_folder
        self.log_file = state_folder / "server.log"
        self._record_file = state_folder / "server.json"
        self._batching_file = state_folder / "batching.pbtxt"
        self._monitoring_file = state_folder / "monitoring.pbtxt"

    def start(self, options: ServerOptions, progress: Callable[[str], None]) -> int:
        """Start a server, wait until it is ready, and return its PID.

        Raises ServerStartError if a port is in use, the model does not load, or on a timeout.
        """
        for key, port in (("restPort", options.rest_port), ("grpcPort", options.grpc_port)):
            _require_free(options.host, port, key)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._batching_file.write_text(batching_parameters(options.queue))
        self._monitoring_file.write_text(monitoring_config())
        progress(f"starting the server for {options.model_folder.name}")
        with self.log_file.open("ab") as log:
            server = self._launch(options, log)
        try:
            self._record(server.pid, options)
            self._wait_until_ready(server, options, progress)
            self._keep_running(server)
        except BaseException:
            _terminate(psutil.Process(server.pid) if server.poll() is None else None)
            server.wait()
            self._record_file.unlink(missing_ok=True)
            raise
        return server.pid

    def stop(self) -> None:
        """Stop the recorded server, if it runs, and wait until it has exited."""
        _terminate(self._running())
        self._record_file.unlink(missing_ok=True)

    def remove_files(self) -> None:
        """Remove the files of `start`, and the folder if it is then empty."""
        files = (self.log_file, self._record_file, self._batching_file, self._monitoring_file)
        for path in files:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def is_serving(self, options: ServerOptions) -> bool:
        """Whether the recorded process runs and serves this model on this port."""
        record = self._read_record()
        return (
            record is not None
            and self._running() is not None
            and (record.host, record.rest_port) == (options.host, options.rest_port)
            and record.model_folder == str(options.model_folder)
            and _state(options.host, options.rest_port, options.model_name) == "AVAILABLE"
        )

    def _launch(self, options: ServerOptions, log: IO[bytes]) -> subprocess.Popen[bytes]:
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
        return subprocess.Popen(
            [sys.executable, "-m", "devserver", *(f"--{k}={v}" for k, v in flags.items())],
            cwd=_PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def _record(self, pid: int, options: ServerOptions) -> None:
        record = _Record(
            pid=pid,
            started=psutil.Process(pid).create_time(),
            model_folder=str(options.model_folder),
            host=options.host,
            rest_port=options.rest_port,
        )
        temporary = self._record_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(record)))
        temporary.replace(self._record_file)

    def _read_record(self) -> _Record | None:
        try:
            return _Record(**json.loads(self._record_file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def _running(self) -> psutil.Process | None:
        record = self._read_record()
        if record is None:
            return None
        try:
            process = psutil.Process(record.pid)
            same = abs(process.create_time() - record.started) < _START_TIME_TOLERANCE_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

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
        lines = self.log_file.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"


def main(arguments: list[str]) -> int:
    """`python -m infra.server_process stop FOLDER`: clean up after an aborted deployment."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.server_process",
        description="Stop the server recorded in a state folder, and remove its files.",
        epilog="example: python -m infra.server_process stop .state/server",
    )
    parser.add_argument("action", choices=["stop"])
    parser.add_argument("folder", type=Path)
    parsed = parser.parse_args(arguments)
    process = ServerProcess(cast(Path, parsed.folder))
    process.stop()
    process.remove_files()
    return 0


def _terminate(process: psutil.Process | None) -> None:
    """Send SIGTERM, then SIGKILL if the process does not exit in time; wait for its exit."""
    if process is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_SECONDS)


def _require_free(host: str, port: int, key: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise ServerStartError(
                f"port {port} is in use by another program: stop that program, or set another "
                f"port with: pulumi config set {key} {port + 100} (or in Pulumi.local.yaml)"
            ) from None


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
