"""`python -m web` as a child process on free ports, for tests of the whole service."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.processes import wait_until

ROOT = Path(__file__).parents[2]
START_LIMIT_SECONDS = 120.0
STOP_LIMIT_SECONDS = 30.0
_START_LINE = re.compile(r"start: (?P<web>http://\S+), metrics (?P<metrics>http://\S+);")


@dataclass
class WebProcess:
    """`with WebProcess(["127.0.0.1:8500"]) as web:` runs until the end of the block.

    options: more of the command line, such as `--queue=2`; command: what starts it otherwise.
    """

    model_servers: Sequence[str]
    options: Sequence[str] = ()
    command: Sequence[str] = (sys.executable, "-m", "web")
    log_lines: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        # Without TLS, whose certificates would be read for every client.
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.Client(verify=False, trust_env=False, timeout=120, limits=limits)

    def start(self) -> Self:
        self.process = subprocess.Popen(
            [
                *self.command,
                *(f"--model-server={address}" for address in self.model_servers),
                *("--port=0", "--metrics-port=0", "--stop-unless-kept"),
                *self.options,
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,  # a test run that is killed leaves no service behind
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        return self

    def wait_until_ready(self) -> Self:
        """Until it answers /health; it need not have a model server."""

        def is_ready() -> bool:
            assert self.process.poll() is None, self.log
            try:
                return bool(self._addresses) and self.get("/health").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(is_ready, "the web service to answer", START_LIMIT_SECONDS)
        return self

    def wait_for_model(self) -> Self:
        """Until it can draw."""
        wait_until(
            lambda: self.get("/api/v1/status").json()["state"] == "ready",
            "the web service to find a model server",
            START_LIMIT_SECONDS,
        )
        return self

    @property
    def url(self) -> str:
        return self._addresses[0]

    @property
    def metrics_url(self) -> str:
        return self._addresses[1]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> str:
        return "".join(self.log_lines)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """options: httpx's."""
        return self._client.request(method, f"{self.url}{path}", **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, body: object, **options: Any) -> httpx.Response:
        return self.request("POST", path, json=body, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", path, **options)

    def metrics(self, **options: Any) -> httpx.Response:
        return self._client.get(self.metrics_url, **options)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_for_exit(self) -> int:
        """The exit code; the log is then complete."""
        code = self.process.wait(STOP_LIMIT_SECONDS)
        self._reader.join(STOP_LIMIT_SECONDS)
        return code

    def stop(self) -> None:
        self._client.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.wait_for_exit()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.wait_for_exit()
        for stream in (self.process.stdin, self.process.stderr):
            if stream is not None and not stream.closed:
                stream.close()

    def __enter__(self) -> Self:
        try:
            return self.start().wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _addresses(self) -> tuple[str, ...]:
        """Those of the line that the service logs once it listens."""
        found = _START_LINE.search(self.log)
        return (found["web"], found["metrics"]) if found else ()

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        self.log_lines.extend(self.process.stderr)
