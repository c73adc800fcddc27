"""The client for `asyncio`, on asynchronous connections: no threads."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from client.api import Client
from client.pictures.picture import Picture
from client.transports.connecting import connected_async
from client.transports.progress import Watch, watched_by
from client.transports.transport import AsyncTransport
from prediction.description import ModelDescription, Served
from prediction.limits import PictureRequest, draw_seed, seconds_until
from prediction.model_status import STATUS_TIMEOUT_SECONDS, ModelStatus

MAX_IN_FLIGHT = 64


class AsyncClient:
    """`client` for coroutines, with the same limits, endpoints, retries, results and errors.

        async with AsyncClient(Client("http://127.0.0.1:8501")) as client:
            pictures = await asyncio.gather(*(client.generate(prompt) for prompt in prompts))

    At most `max_in_flight` requests run at once; others wait for their turn, and their time begins
    with it. A cancelled task ends its request: the REST connection is closed, the gRPC call
    cancelled, the web service's job ended. One event loop uses it.
    """

    def __init__(
        self,
        client: Client,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        transport: AsyncTransport | None = None,
    ) -> None:
        import asyncio  # takes a while, and the command line does not need it

        self.client = client
        self._turns = asyncio.Semaphore(max_in_flight)
        self._asking = asyncio.Lock()
        self._transport = transport

    async def generate(
        self,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        watch: Watch | None = None,
    ) -> Picture:
        """As `Client.generate`."""
        seed = draw_seed() if seed is None else seed  # each attempt asks for the same picture

        async def attempt(timeout_seconds: float) -> Picture:
            deadline = time.monotonic() + timeout_seconds
            await self._served(timeout_seconds)
            request = self.client.prepare(
                prompt,
                negative_prompt=negative_prompt,
                num_steps=num_steps,
                guidance_scale=guidance_scale,
                seed=seed,
            )
            return await self._send(request, seconds_until(deadline), watch)

        async with self._turns:
            if not self.client.retry:
                return await attempt(self.client.timeout_seconds)
            from client.retry import until_deadline_async

            return await until_deadline_async(self.client, attempt)

    async def send(
        self,
        request: PictureRequest,
        timeout_seconds: float | None = None,
        watch: Watch | None = None,
    ) -> Picture:
        """As `Client.send`."""
        (await self._served(timeout_seconds)).limits.check(request)
        async with self._turns:
            return await self._send(request, self.client.bounded(timeout_seconds), watch)

    async def _send(
        self, request: PictureRequest, timeout_seconds: float, watch: Watch | None
    ) -> Picture:
        started = time.monotonic()
        with watched_by(watch):
            answer = await self._connected().predict(request, timeout_seconds)
        self.client.notice(answer.fingerprint)
        return Picture.of(answer, request, time.monotonic() - started)

    async def describe(self, timeout_seconds: float | None = None) -> ModelDescription | None:
        """As `Client.describe`."""
        return (await self._served(timeout_seconds)).description

    async def status(self) -> ModelStatus:
        """As `Client.status`."""
        return await self._connected().model_status(
            min(self.client.timeout_seconds, STATUS_TIMEOUT_SECONDS)
        )

    async def close(self) -> None:
        """Close the client and its connections; requests in flight end."""
        if self._transport is not None:
            await self._transport.close()
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

    async def _served(self, timeout_seconds: float | None) -> Served:
        import asyncio

        seconds = self.client.bounded(timeout_seconds)
        deadline = time.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds):
                await self._asking.acquire()
        except TimeoutError:
            raise self.client.timed_out(seconds) from None
        try:
            return self.client.known or self.client.learn(
                await self._connected().describe(seconds_until(deadline))
            )
        finally:
            self._asking.release()

    def _connected(self) -> AsyncTransport:
        """The transport, made in the event loop that uses it."""
        if self._transport is None:
            client = self.client
            self._transport = connected_async(client.endpoints, client.model_name, client.protocol)
        return self._transport
