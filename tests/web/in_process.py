"""The whole web service inside a test's own process, before a stub of a model server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.web.stub_model_server import Behaviour, StubModelServer
from web.application import create_app
from web.gauges import Gauges
from web.options import Options
from web.service import Service

LIMIT_SECONDS = 60.0
Sample = tuple[str, frozenset[tuple[str, str]]]


class InProcess:
    """A service, its stub, and a client that calls its application without a connection."""

    def __init__(self, service: Service, stub: StubModelServer, client: httpx.AsyncClient) -> None:
        self.service = service
        self.stub = stub
        self.client = client

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.get(path, **options)

    async def post(self, path: str, **body: object) -> httpx.Response:
        return await self.client.post(path, json=body)

    def value(self, name: str, **labels: str) -> float:
        """Of one series of the metrics, which must be there."""
        return self.samples()[name, frozenset(labels.items())]

    def samples(self) -> dict[Sample, float]:
        families = text_string_to_metric_families(self.service.metrics.text().decode())
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            while not condition():
                await asyncio.sleep(0.01)

    async def until_ready(self) -> None:
        await self.until(lambda: bool(self.service.models.ready))


Check = Callable[[InProcess], Awaitable[None]]


def check_in_process(
    check: Check, behaviour: Behaviour | None = None, *, waits: bool = True, **options: Any
) -> None:
    """Run `check` while the service runs. waits: first for the model. options: of `Options`."""

    async def main(stub: StubModelServer) -> None:
        async with running(stub, **options) as run:
            if waits:
                await run.until_ready()
            await check(run)

    with StubModelServer(behaviour) as stub:
        asyncio.run(main(stub))


@asynccontextmanager
async def running(stub: StubModelServer, **options: Any) -> AsyncIterator[InProcess]:
    service = Service(Options(**{"model_servers": (stub.endpoint,), **options}))
    service.metrics.register(Gauges(service))
    await service.start()
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", timeout=LIMIT_SECONDS
    ) as client:
        yield InProcess(service, stub, client)
    await service.stop()
