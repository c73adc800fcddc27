"""A queue in front of stub model servers, over gRPC and in real time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.processes import wait_until
from tests.web.stub_model_server import MODEL_NAME
from web.jobs.job import Job
from web.jobs.patience import Patience
from web.jobs.queue import JobQueue
from web.metrics import Metrics
from web.model.servers import ModelServers

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def queue_on(
    *endpoints: str, patience: Patience | None = None, deadline_seconds: float = 60.0
) -> AsyncIterator[JobQueue]:
    """A queue whose model servers are all ready."""
    models = ModelServers(endpoints, MODEL_NAME)
    queue = JobQueue(
        models,
        size=8,
        deadline_seconds=deadline_seconds,
        keep_results_seconds=60.0,
        metrics=Metrics(),
        patience=patience,
    )
    models.start()
    try:
        await until(lambda: len(models.ready) == len(endpoints), "the model servers")
        yield queue
    finally:
        await queue.stop()
        await models.stop()


async def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited 30 s for {what}")


async def until_step(job: Job, step: int) -> None:
    while job.step < step:
        assert await job.wait_for_change(job.version, 30)


class StubProcess:
    """A stub that can be killed and started again on its port."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.start(0)

    def start(self, port: int | None = None, *more: str) -> None:
        port = self.port if port is None else port
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.web.stub_model_server", f"--port={port}"),
                *self._arguments,
                *more,
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.endpoint = self.process.stdout.readline().strip()
        self.port = int(self.endpoint.rpartition(":")[2])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


@contextmanager
def stub_process(*arguments: str) -> Iterator[StubProcess]:
    stub = StubProcess(*arguments)
    try:
        yield stub
    finally:
        if stub.process.poll() is None:
            stub.kill()
        wait_until(lambda: stub.process.poll() is not None, "the stub's end")
