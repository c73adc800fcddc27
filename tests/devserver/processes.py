"""A dev server as a child process, and the clients that talk to it over sockets."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.processes import free_ports, wait_until

ROOT = Path(__file__).parents[2]
NAME = "half_plus_two"
START_LIMIT_SECONDS = 240.0
OUTPUT_BYTES = 2**24


@dataclass
class Answer:
    """A REST response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return self.json["error"]


@dataclass
class Server:
    """A child process that runs the dev server on ports of its own."""

    base_path: Path
    flags: tuple[str, ...] = ()
    log_file: Path | None = None
    ports: list[int] = field(default_factory=lambda: free_ports(2))

    def start(self) -> Server:
        # A file: what nobody reads would stop the server once a pipe is full.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        log = [f"--log_file={self.log_file}"] if self.log_file else []
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "devserver"),
                "--stop_unless_kept",  # a test run that is killed leaves no server behind
                f"--model_name={NAME}",
                f"--model_base_path={self.base_path}",
                f"--port={self.ports[0]}",
                f"--rest_api_port={self.ports[1]}",
                *log,
                *self.flags,
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self

    @property
    def stdin(self) -> IO[str]:
        assert self.process.stdin
        return self.process.stdin

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def rest_port(self) -> int:
        return self.ports[1]

    def log_text(self) -> str:
        return self.log_file.read_text() if self.log_file and self.log_file.exists() else ""

    def rest(
        self,
        method: str,
        path: str,
        body: bytes | str | dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 60.0,
    ) -> Answer:
        """One request on its own connection."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.rest_port, timeout=timeout_seconds
        )
        try:
            connection.request(
                method,
                path,
                json.dumps(body) if isinstance(body, dict) else body,
                dict(headers or {}),
            )
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def predict(self, body: bytes | str | dict[str, Any], path: str = "") -> Answer:
        return self.rest("POST", f"/v1/models/{NAME}{path}:predict", body)

    def predict_gzip(self, body: str) -> Answer:
        return self.rest(
            "POST",
            f"/v1/models/{NAME}:predict",
            gzip.compress(body.encode()),
            {"Content-Encoding": "gzip"},
        )

    def state(self) -> str:
        """The model's state from REST, or the status if there is none."""
        try:
            answer = self.rest("GET", f"/v1/models/{NAME}")
        except OSError:
            return "DOWN"
        if answer.status != 200:
            return str(answer.status)
        return answer.json["model_version_status"][0]["state"]

    def wait_until_ready(self) -> Server:
        def ready() -> bool:
            code = self.process.poll()
            assert code is None, f"exit code {code}: {self.output()}"
            return self.state() == "AVAILABLE"

        wait_until(ready, "the model to be available", START_LIMIT_SECONDS)
        return self

    def wait_for_exit(self, limit_seconds: float = START_LIMIT_SECONDS) -> int:
        return self.process.wait(limit_seconds)

    def output(self) -> str:
        """What it has written so far."""
        return os.pread(self._output.fileno(), OUTPUT_BYTES, 0).decode()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self.stdin.close()
