"""A worker's pod: the web process in the role `worker`, behind queue-proxy."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.knative.queue_proxy.process import URL, QueueProxy
from tests.processes import wait_until
from tests.web.running import WebProcess

WORKER = ("--role=worker",)
TXT2IMG, GENERATIONS = "/sdapi/v1/txt2img", "/v1/images/generations"
PROMPT = {"prompt": "pretty dog"}
"""The published guide's request."""
REQUEST_LIMIT_SECONDS = 300.0


@dataclass
class Pod:
    """Both processes, and callers whose requests wait in threads."""

    worker: WebProcess
    proxy: QueueProxy
    callers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16))

    def post(self, path: str = TXT2IMG, body: object = PROMPT) -> Future[httpx.Response]:
        """The answer of a request on a connection of its own."""
        return self.callers.submit(
            *(httpx.post, f"{URL}{path}"),
            json=body,
            timeout=REQUEST_LIMIT_SECONDS,
            trust_env=False,
        )

    def wait_until_inside(self, count: int) -> None:
        """Until so many requests are drawn or wait in queue-proxy."""
        wait_until(lambda: self.proxy.concurrency() == count, f"{count} requests to be inside")

    def most_in_flight(self) -> float:
        """Requests for pictures that the worker had at the same moment, at most."""
        [value] = [
            sample.value
            for family in text_string_to_metric_families(self.worker.metrics().text)
            for sample in family.samples
            if sample.name == "web_in_flight_highest"
        ]
        return value


@contextmanager
def running_pod(
    model_server: str, options: Sequence[str] = (), *, timeout_seconds: int = 600
) -> Iterator[Pod]:
    """Ready, in a network of its own. options: of the worker."""
    with (
        WebProcess([model_server], [*WORKER, *options]) as worker,
        QueueProxy(worker.port, timeout_seconds) as proxy,
    ):
        pod = Pod(worker, proxy.wait_until_ready())
        yield pod
        pod.callers.shutdown(cancel_futures=True)


class Watch:
    """The most that queue-proxy says of itself while the block runs.

    depth: requests inside at the moment when one of them is given to the worker, that one
    included. concurrency: requests inside, averaged over a second.
    """

    def __init__(self, proxy: QueueProxy) -> None:
        self.depth = self.concurrency = 0.0
        self._proxy = proxy
        self._ended = threading.Event()
        self._looking = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            self.depth = max(self.depth, self._proxy.depth())
            self.concurrency = max(self.concurrency, self._proxy.concurrency())

    def __enter__(self) -> Self:
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._looking.join()
