"""How much of bodies the service holds at a time."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Scope, Send

from web.answers import FaultAnswers
from web.metrics import Metrics
from web.safety.body import BodyGuard, BodyLimits

BODY = b'"' + b"x" * 58 + b'"'
"""More than half of what may be held."""
LIMIT_SECONDS = 10


class Guarded:
    """An application behind the guard that answers once it is let."""

    def __init__(self) -> None:
        limits = BodyLimits(max_bytes=100, max_total_bytes=100)
        self._guard = BodyGuard(self._app, FaultAnswers((), Metrics()), limits)
        self.may_answer = asyncio.Event()

    async def post(self, parts: asyncio.Queue[bytes]) -> int:
        """The status of the answer to a body of two parts."""
        left, statuses = 2, list[int]()

        async def receive() -> Message:
            nonlocal left
            part = await parts.get()
            left -= 1
            return {"type": "http.request", "body": part, "more_body": left > 0}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        headers = [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        async with asyncio.timeout(LIMIT_SECONDS):
            await self._guard(scope, receive, send)
        return statuses[0]

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})


def parts_of(*parts: bytes) -> asyncio.Queue[bytes]:
    queue = asyncio.Queue[bytes]()
    for part in parts:
        queue.put_nowait(part)
    return queue


async def all_wait() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_bodies_that_are_too_large_together_are_refused_for_the_moment() -> None:
    async def check() -> None:
        guarded = Guarded()
        first = asyncio.create_task(guarded.post(parts_of(BODY, b"")))
        await all_wait()
        assert await guarded.post(parts_of(BODY, b"")) == 503
        guarded.may_answer.set()
        assert await first == 200
        assert await guarded.post(parts_of(BODY, b"")) == 200

    asyncio.run(check())


def test_a_body_that_ends_while_another_arrives_is_held_no_longer() -> None:
    async def check() -> None:
        guarded, slow_parts = Guarded(), parts_of()
        held = asyncio.create_task(guarded.post(parts_of(BODY, b"")))
        await all_wait()
        slow = asyncio.create_task(guarded.post(slow_parts))
        await all_wait()
        guarded.may_answer.set()
        assert await held == 200
        slow_parts.put_nowait(b"1")
        slow_parts.put_nowait(b"")
        assert await slow == 200
        assert await guarded.post(parts_of(BODY, b"")) == 200

    asyncio.run(check())
