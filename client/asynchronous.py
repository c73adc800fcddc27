"""The client for `asyncio`: each request runs in its own thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from client.api import Client
from client.limits import PictureRequest
from client.pictures.picture import Picture
from client.transports.transport import ModelStatus

T = TypeVar("T")

MAX_IN_FLIGHT = 64


class AsyncClient:
    """`client` for coroutines, with the same results and errors.

        async with AsyncClient(Client("http://127.0.0.1:8501")) as client:
            pictures = await asyncio.gather(*(client.generate(prompt) for prompt in prompts))

    At most `max_in_flight` requests run at once; others wait for a free thread. A cancelled task
    stops waiting at once; its request runs on until it finishes or times out.
    """

    def __init__(self, client: Client, *, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        self.client = client
        self._threads = ThreadPoolExecutor(max_in_flight, "client")

    async def generate(
        self,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
    ) -> Picture:
        """As `Client.generate`."""
        return await self.send(
            self.client.prepare(
                prompt,
                negative_prompt=negative_prompt,
                num_steps=num_steps,
                guidance_scale=guidance_scale,
                seed=seed,
            )
        )

    async def send(self, request: PictureRequest) -> Picture:
        """As `Client.send`."""
        return await self._in_thread(lambda: self.client.send(request))

    async def status(self) -> ModelStatus:
        """As `Client.status`."""
        return await self._in_thread(self.client.status)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        # asyncio takes 0.1 s to import, and is already imported where a coroutine runs.
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def close(self) -> None:
        """Close the client; requests in flight finish in the background."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
