"""The web service in a thread of the test's process, and what its callers do."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import uvicorn
from PIL import Image

from tests.processes import wait_until
from tests.web.stub_model_server import StubModelServer
from web.application import create_app
from web.options import Options
from web.service import Service

T = TypeVar("T")

TXT2IMG, PROGRESS = "/sdapi/v1/txt2img", "/sdapi/v1/progress"
LIMIT_SECONDS = 30
CALLERS = 8
POLL_SECONDS = 0.01


class Front:
    """A service that has found its model server. Its callers differ by their keys."""

    def __init__(self, stub: StubModelServer, options: Options) -> None:
        self.stub = stub
        self.service = Service(options)
        app = create_app(self.service)
        self._server = uvicorn.Server(
            uvicorn.Config(app, port=0, log_level="warning", lifespan="off")
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._callers = ThreadPoolExecutor(CALLERS)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.service.start()
        await self._server.serve()

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started, "the service to listen", LIMIT_SECONDS)
        wait_until(lambda: bool(self.service.models.ready), "the model server", LIMIT_SECONDS)
        (port,) = {
            socket.getsockname()[1] for server in self._server.servers for socket in server.sockets
        }
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.run(self.service.stop)
        self._callers.shutdown()
        self.client.close()
        self._server.should_exit = True
        self._thread.join(LIMIT_SECONDS)
        assert not self._thread.is_alive()

    def run(self, action: Callable[[], Awaitable[T]]) -> T:
        """What the action returns, in the service's event loop."""

        async def act() -> T:
            return await action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(LIMIT_SECONDS)

    def do(self, action: Callable[[], T]) -> T:
        """As `run`."""

        async def act() -> T:
            return action()

        return self.run(act)

    def get(self, path: str, key: str = "") -> Any:
        answer = self.client.get(path, headers=with_key(key))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, key: str = "") -> httpx.Response:
        return self.client.post(path, json=body, headers=with_key(key))

    def draw(self, **fields: Any) -> dict[str, Any]:
        """The answer to a request that draws."""
        answer = self.post(TXT2IMG, {"prompt": "a red circle", **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def start(self, key: str = "", **fields: Any) -> Future[httpx.Response]:
        """A request that goes on beside the test."""
        body = {"prompt": "a red circle", **fields}
        return self._callers.submit(self.post, TXT2IMG, body, key)

    def until(self, path: str, is_right: Callable[[Any], Any], key: str = "") -> Any:
        """The first answer that is right."""
        return until(lambda: self.get(path, key), is_right)


def until(ask: Callable[[], Any], is_right: Callable[[Any], Any]) -> Any:
    """The first answer that is right."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not is_right(answer := ask()):
        assert time.monotonic() < deadline, f"the last answer was {answer}"
        time.sleep(POLL_SECONDS)
    return answer


def with_key(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def info_of(answer: dict[str, Any]) -> dict[str, Any]:
    assert isinstance(answer["info"], str)
    return json.loads(answer["info"])


def picture_of(image: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(image, validate=True)))
