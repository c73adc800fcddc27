"""What runs in the background on this machine: programs of this project, with their options."""

from __future__ import annotations

import http.client
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from serving.tensorflow_serving.batching import batching_parameters
from serving.tensorflow_serving.flags import server_threads
from serving.tensorflow_serving.monitoring import monitoring_config

_PROBE_TIMEOUT_SECONDS = 5.0
_BATCHING_FILE = "batching.pbtxt"
_MONITORING_FILE = "monitoring.pbtxt"
_STOP_SECONDS = 10
"""How long the web service waits for a picture when it is told to stop, as the model server does:
less than `server_stop.STOP_TIMEOUT_SECONDS`, after which it is killed."""


class Program(ABC):
    """A server that `python -m MODULE` runs. It stops if its standard input closes before the line
    `keep` arrives.
    """

    module: ClassVar[str]
    """One of `server_record.SERVER_NAMES`."""
    preparing: ClassVar[str]
    """What it does between its start and being ready."""
    usual_start_seconds: ClassVar[float]

    host: str

    @property
    @abstractmethod
    def ports(self) -> Mapping[str, int]:
        """Its ports by the name of the setting; the first is that of its HTTP API."""

    @property
    @abstractmethod
    def serves(self) -> str:
        """What it was started for, as its command line says it."""

    @abstractmethod
    def arguments(self, folder: Path) -> list[str]:
        """Its command line; `folder` has its files."""

    def files(self) -> dict[str, str]:
        """The texts of its configuration files, by their names (*.pbtxt)."""
        return {}

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it is ready for requests."""

    @property
    def endpoint(self) -> str:
        """Base URL of its HTTP API."""
        return f"http://{self.host}:{self._http_port}"

    @property
    def _http_port(self) -> int:
        return next(iter(self.ports.values()))

    def _get(self, path: str) -> tuple[int, bytes] | None:
        """The status and the body of its answer; None without an answer."""
        connection = http.client.HTTPConnection(
            self.host, self._http_port, timeout=_PROBE_TIMEOUT_SECONDS
        )
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


@dataclass(frozen=True)
class ModelServerProgram(Program):
    """`python -m devserver`: a model, its addresses and its limits."""

    module = "devserver"
    preparing = "loading the model"
    # On two cores: importing TensorFlow takes 5 s, each signature's first run about 6 s.
    usual_start_seconds = 25.0

    model_folder: Path
    model_name: str
    host: str
    rest_port: int
    grpc_port: int
    queue: int
    request_timeout_seconds: int

    @property
    def ports(self) -> Mapping[str, int]:
        return {"restPort": self.rest_port, "grpcPort": self.grpc_port}

    @property
    def serves(self) -> str:
        return str(self.model_folder)

    def arguments(self, folder: Path) -> list[str]:
        flags = {
            "host": self.host,
            "model_name": self.model_name,
            "model_base_path": self.serves,
            "port": self.grpc_port,
            "rest_api_port": self.rest_port,
            "grpc_max_threads": server_threads(self.queue),
            "rest_api_timeout_in_ms": self.request_timeout_seconds * 1000,
            "enable_batching": "true",
            "batching_parameters_file": folder / _BATCHING_FILE,
            "monitoring_config_file": folder / _MONITORING_FILE,
            "file_system_poll_wait_seconds": 0,
            "enable_grpc_healthcheck_service": "true",
            "stop_unless_kept": "true",
        }
        return [f"--{name}={value}" for name, value in flags.items()]

    def files(self) -> dict[str, str]:
        return {
            _BATCHING_FILE: batching_parameters(self.queue),
            _MONITORING_FILE: monitoring_config(),
        }

    def is_ready(self) -> bool:
        answer = self._get(f"/v1/models/{self.model_name}")
        try:
            status: Any = json.loads(answer[1]) if answer else {}
            return status["model_version_status"][0]["state"] == "AVAILABLE"
        except (ValueError, KeyError, IndexError, TypeError):
            return False


@dataclass(frozen=True)
class WebServiceProgram(Program):
    """`python -m web`: a model server, its own addresses and its limits."""

    module = "web"
    preparing = "starting"
    usual_start_seconds = 2.0

    model_server: str
    """host:port of its gRPC API. It need not be there: the web service waits for it."""
    model_name: str
    host: str
    port: int
    metrics_port: int
    queue: int
    request_timeout_seconds: int

    @property
    def ports(self) -> Mapping[str, int]:
        return {"webPort": self.port, "webMetricsPort": self.metrics_port}

    @property
    def serves(self) -> str:
        return self.model_server

    def arguments(self, folder: Path) -> list[str]:
        options = {
            "model-server": self.model_server,
            "model-name": self.model_name,
            "host": self.host,
            "port": self.port,
            "metrics-port": self.metrics_port,
            "queue": self.queue,
            "deadline": self.request_timeout_seconds,
            "stop-timeout": _STOP_SECONDS,
        }
        return [*(f"--{name}={value}" for name, value in options.items()), "--stop-unless-kept"]

    def is_ready(self) -> bool:
        answer = self._get("/health")
        return answer is not None and answer[0] == 200
