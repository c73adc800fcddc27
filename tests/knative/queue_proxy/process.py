"""Knative's own queue-proxy as a process before a web process, as in a Knative Service's pod.

It is the program `queue` of the Go module knative.dev/serving, from its folder `cmd/queue`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import wait_until

PROGRAM = "queue"
MISSING = f"Knative's queue-proxy is not on PATH as `{PROGRAM}` (knative.dev/serving, cmd/queue)"
PORT, ADMIN_PORT, AUTOSCALER_PORT, METRICS_PORT = 8012, 8022, 9090, 9091
"""Its own: they cannot be chosen, but for the first."""
URL = f"http://127.0.0.1:{PORT}"
CONCURRENCY_FIELD = 2
"""`average_concurrent_requests`, among what the autoscaler reads."""
QUEUE_DEPTH = 10
"""Requests that it lets wait for a container that takes one at a time."""
QUIET_SECONDS = 30.0
"""How long it drains after the last request came."""
READINESS_PROBE = {"user-agent": "kube-probe/1.34", "k-network-probe": "queue"}
STOP_LIMIT_SECONDS = 60.0
LOG_BYTES = 2**24


def program() -> str | None:
    """Its path, if it is on PATH."""
    return shutil.which(PROGRAM)


@dataclass
class QueueProxy:
    """`with QueueProxy(web.port) as proxy:` runs in a network of its own until the block ends.

    timeout_seconds: the revision's, from a request's arrival to the end of its answer.
    """

    user_port: int
    timeout_seconds: int = 600
    ready_path: str = "/ready"

    def start(self) -> Self:
        path = program()
        assert path is not None, MISSING
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [path], env=self._environment(), stdout=self._log, stderr=subprocess.STDOUT
        )
        return self

    def wait_until_it_listens(self) -> Self:
        def listens() -> bool:
            assert self.process.poll() is None, self.log
            try:
                self.probe()
                return self.requests_drawn() == 0
            except httpx.TransportError:
                return False

        wait_until(listens, "queue-proxy to listen")
        return self

    def probe(self) -> int:
        """The status that kubelet's readiness probe gets."""
        return httpx.get(URL, headers=READINESS_PROBE, trust_env=False, timeout=30).status_code

    def wait_until_ready(self) -> Self:
        wait_until(lambda: self.probe() == 200, "the pod to be ready")
        return self

    def depth(self) -> float:
        """Requests inside, the drawn one included, when the last one was given to the container.

        0 before the first one.
        """
        return max(self._values("kn_serving_queue_depth"), default=0.0)

    def concurrency(self) -> float:
        """What it tells the autoscaler: requests inside, drawn and waiting, averaged over the last
        whole second."""
        answer = httpx.get(f"http://127.0.0.1:{AUTOSCALER_PORT}/metrics", trust_env=False)
        # A protobuf message: the pod's name, then doubles with their field numbers.
        doubles = answer.content[2 + answer.content[1] :]
        fields = {tag >> 3: value for tag, value in struct.iter_unpack("<Bd", doubles)}
        return fields.get(CONCURRENCY_FIELD, 0.0)

    def requests_drawn(self) -> int:
        """Requests that the container has answered."""
        return int(sum(self._values("kn_serving_invocation_duration_seconds_count")))

    def terminate(self) -> threading.Thread:
        """As kubelet ends a pod: SIGTERM here, while the hook that goes before the container's own
        SIGTERM waits. The thread ends when the hook has been answered."""
        self.process.send_signal(signal.SIGTERM)
        hook = threading.Thread(target=self._wait_for_drain)
        hook.start()
        return hook

    def _wait_for_drain(self) -> None:
        url = f"http://127.0.0.1:{ADMIN_PORT}/wait-for-drain"
        assert httpx.get(url, trust_env=False, timeout=None).status_code == 200

    def stop(self) -> None:
        """At once."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_LIMIT_SECONDS)
        self._log.close()

    @property
    def log(self) -> str:
        return os.pread(self._log.fileno(), LOG_BYTES, 0).decode()

    def __enter__(self) -> Self:
        try:
            return self.start().wait_until_it_listens()
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

    def _values(self, name: str) -> list[float]:
        text = httpx.get(f"http://127.0.0.1:{METRICS_PORT}/metrics", trust_env=False).text
        return [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        ]

    def _environment(self) -> dict[str, str]:
        """What Knative gives it for `containerConcurrency: 1`."""
        probe = {
            "httpGet": {
                **{"path": self.ready_path, "port": self.user_port},
                **{"host": "127.0.0.1", "scheme": "HTTP"},
            },
            "successThreshold": 1,
            "timeoutSeconds": 5,
            "periodSeconds": 5,
        }
        off, prometheus = {"protocol": "none"}, {"protocol": "prometheus"}
        return {
            "CONTAINER_CONCURRENCY": "1",
            "QUEUE_SERVING_PORT": str(PORT),
            "QUEUE_SERVING_TLS_PORT": "8112",
            "USER_PORT": str(self.user_port),
            "REVISION_TIMEOUT_SECONDS": str(self.timeout_seconds),
            "REVISION_RESPONSE_START_TIMEOUT_SECONDS": str(self.timeout_seconds),
            "REVISION_IDLE_TIMEOUT_SECONDS": "0",
            "SERVING_READINESS_PROBE": json.dumps(probe),
            "SERVING_NAMESPACE": "default",
            "SERVING_SERVICE": "diffusion",
            "SERVING_CONFIGURATION": "diffusion",
            "SERVING_REVISION": "diffusion-00001",
            "SERVING_POD": "diffusion-00001-pod",
            "SERVING_POD_IP": "127.0.0.1",
            "POD_NAME": "diffusion-00001-pod",
            "SERVING_LOGGING_CONFIG": "",
            "SERVING_LOGGING_LEVEL": "info",
            "OBSERVABILITY_CONFIG": json.dumps({"metrics": off, "requestMetrics": prometheus}),
            "SYSTEM_NAMESPACE": "knative-serving",
        }
