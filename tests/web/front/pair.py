"""A front and its worker inside a test's own process: the worker listens on a port of loopback,
before a stub of a model server.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.web.in_process import InProcess, running
from tests.web.stub_model_server import Behaviour, StubModelServer, description_of
from web.application import create_app
from web.options import Options
from web.roles import Role
from web.server import Listener, listen
from web.service import Service


class Pair(InProcess):
    """The front; worker: its worker's service, asked: the paths of all requests that have reached
    it; both: a client of a whole service before the same model server."""

    worker: Service
    asked: list[str]
    both: httpx.AsyncClient


Check = Callable[[Pair], Awaitable[None]]


def description_file(behaviour: Behaviour, folder: str) -> str:
    """What a front is told of its workers' model."""
    file = Path(folder, "model.json")
    file.write_text(json.dumps(description_of(behaviour)))
    return str(file)


def check_pair(
    check: Check,
    behaviour: Behaviour | None = None,
    *,
    worker: dict[str, Any] | None = None,
    **options: Any,
) -> None:
    """Run `check` while both run. worker, options: of `Options`, for the worker and the front."""

    async def main(stub: StubModelServer, folder: str) -> None:
        async with _worker(stub, worker or {}) as (service, asked, url):
            front = {
                "model_servers": (),
                "role": Role.FRONT,
                "worker_url": url,
                "model_description": description_file(stub.behaviour, folder),
            }
            async with running(stub, **front, **options) as run, running(stub) as both:
                pair = Pair(run.service, stub, run.client)
                pair.worker, pair.asked, pair.both = service, asked, both.client
                await pair.until(lambda: bool(service.models.ready))
                await both.until_ready()
                await check(pair)

    with StubModelServer(behaviour) as stub, tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(stub, folder))


@asynccontextmanager
async def over_a_connection(pair: Pair) -> AsyncIterator[httpx.AsyncClient]:
    """A client that can hang up on the front."""
    async with (
        _listening(create_app(pair.service)) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        yield client


@asynccontextmanager
async def _worker(
    stub: StubModelServer, options: dict[str, Any]
) -> AsyncIterator[tuple[Service, list[str], str]]:
    given = {"queue": 0, "keep_results_seconds": 0.0, **options}
    service = Service(Options((stub.endpoint,), role=Role.WORKER, **given))
    app, asked = create_app(service), list[str]()

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        await app(scope, receive, send)

    await service.start()
    try:
        async with _listening(counted) as url:
            yield service, asked, url
    finally:
        await service.stop()


@asynccontextmanager
async def _listening(app: ASGIApp) -> AsyncIterator[str]:
    """The address at which the application answers."""
    listener, bound = Listener(app), listen("127.0.0.1", 0)
    serving = asyncio.create_task(listener.serve([bound]))
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        listener.should_exit = True
        await serving
