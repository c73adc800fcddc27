"""Workers' pods behind Knative, for virtual time: what the front meets of their queue-proxies.

Each pod draws one request at a time and lets ten wait; beyond them it answers 503. A request that
takes too long, from its arrival on, is answered 504, or cut off with the same words if its answer
has begun. While there is no pod, requests wait for one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator

import httpx

from tests.web.front.fake_workers import HEADERS, line, picture, progress, requests_in
from web.worker.events import Done, Started

QUEUE_DEPTH = 10
TIMEOUT_WORDS = b"request timeout"
LOOK_SECONDS = 0.25
"""How often a request looks for a pod."""


class FakePod:
    """inside: requests that wait or are drawn."""

    def __init__(self) -> None:
        self.inside = 0
        self.turn = asyncio.Lock()
        self.killed = asyncio.Event()


class FakePods(httpx.AsyncBaseTransport):
    """most_inside: requests in all pods and for none, at most."""

    def __init__(self, timeout_seconds: float, seconds_per_step: float) -> None:
        self.pods: list[FakePod] = []
        self.inside = self.most_inside = 0
        self._timeout_seconds = timeout_seconds
        self._seconds_per_step = seconds_per_step

    def scale(self, count: int) -> None:
        """Kill or start pods until there are so many."""
        while len(self.pods) > count:
            self.pods.pop().killed.set()
        while len(self.pods) < count:
            self.pods.append(FakePod())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._answer(await request.aread())
        try:
            first = await anext(answer)
        except BaseException:
            await answer.aclose()
            raise
        if isinstance(first, httpx.Response):
            await answer.aclose()
            return first
        return httpx.Response(200, headers=HEADERS, stream=_Stream(first, answer))

    async def _answer(self, content: bytes) -> AsyncGenerator[bytes | httpx.Response]:
        """What the front gets: a refusal, or the pieces of a stream."""
        end = asyncio.get_running_loop().time() + self._timeout_seconds
        has_begun = False
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        pieces = self._through_a_pod(content)
        try:
            while True:
                try:
                    async with asyncio.timeout_at(end):
                        piece = await anext(pieces, None)
                except TimeoutError:
                    yield TIMEOUT_WORDS if has_begun else httpx.Response(504, content=TIMEOUT_WORDS)
                    return
                if piece is None:
                    return
                has_begun = True
                yield piece
        finally:
            await pieces.aclose()
            self.inside -= 1

    async def _through_a_pod(self, content: bytes) -> AsyncGenerator[bytes | httpx.Response]:
        while not self.pods:
            await asyncio.sleep(LOOK_SECONDS)
        pod = min(self.pods, key=lambda each: each.inside)
        if pod.inside > QUEUE_DEPTH:
            yield httpx.Response(503, text="pending request queue full\n")
            return
        pod.inside += 1
        try:
            async with pod.turn:
                if pod.killed.is_set():
                    yield httpx.Response(502, text="connection refused")
                    return
                async for piece in self._drawn(content, pod):
                    yield piece
        finally:
            pod.inside -= 1

    async def _drawn(self, content: bytes, pod: FakePod) -> AsyncIterator[bytes]:
        yield line(Started(fingerprint="stub-1"))
        for number, request in enumerate(requests_in(json.loads(content))):
            for step in range(1, request.num_steps + 1):
                await asyncio.sleep(self._seconds_per_step)
                if pod.killed.is_set():
                    raise httpx.ReadError("connection reset by peer")
                yield line(progress(step, request.num_steps, picture=number))
            yield line(picture(request, number))
        yield line(Done())


class _Stream(httpx.AsyncByteStream):
    def __init__(self, first: bytes, rest: AsyncGenerator[bytes | httpx.Response]) -> None:
        self._first = first
        self._rest = rest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._first
        async for piece in self._rest:
            assert isinstance(piece, bytes)
            yield piece

    async def aclose(self) -> None:
        await self._rest.aclose()
