"""Connections that stall are closed, and others are not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.answers import FaultAnswers
from web.metrics import Metrics
from web.safety.body import BodyGuard, BodyLimits
from web.safety.connection import TimedProtocol

WHOLE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Hasty(TimedProtocol):
    head_seconds = 0.3
    stalled_seconds = 0.3


async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.6)  # drawing takes longer than a head may
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


@contextlib.asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[int]:
    config = uvicorn.Config(app, port=0, http=Hasty, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


def talk(
    app: ASGIApp,
    dialogue: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]],
) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(20), listening(app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
            try:
                return await dialogue(reader, writer)
            finally:
                writer.close()

    return asyncio.run(main())


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(1000):
            received += part
    return received


def test_a_silent_connection_is_closed() -> None:
    async def dialogue(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> bytes:
        return await ended(reader)

    assert talk(hello, dialogue) == b""


def test_a_head_that_trickles_in_is_cut_off() -> None:
    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        async def trickle() -> None:
            for number in range(100):
                writer.write(WHOLE[:5] if number == 0 else b"a")
                await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        received = await ended(reader)
        assert not trickling.done()
        trickling.cancel()
        return received

    assert talk(hello, dialogue) == b""


def test_the_second_head_of_a_connection_may_not_trickle_either() -> None:
    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(WHOLE)
        await reader.readuntil(b"hello")
        writer.write(WHOLE[:-2])
        return await ended(reader)

    assert talk(hello, dialogue) == b""


def test_the_rest_of_a_body_that_was_answered_may_not_trickle() -> None:
    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def trickle() -> None:
            for _ in range(200):
                writer.write(b"a")
                await asyncio.sleep(0.05)

        writer.write(WHOLE.replace(b"\r\n\r\n", b"\r\nContent-Length: 1000\r\n\r\n"))
        await reader.readuntil(b"hello")
        trickling = asyncio.create_task(trickle())
        await ended(reader)
        assert not trickling.done()
        trickling.cancel()

    talk(hello, dialogue)


def test_a_slow_answer_is_waited_for() -> None:
    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        for _ in range(2):
            writer.write(WHOLE)
            await reader.readuntil(b"hello")
        return 2

    assert talk(hello, dialogue) == 2


def test_a_reader_who_takes_nothing_is_cut_off() -> None:
    sent = asyncio.Event()

    async def much(_scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"a" * 2**20, "more_body": True})
        sent.set()

    async def dialogue(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE)
        await sent.wait()  # what is sent into the cut connection is dropped

    talk(much, dialogue)


def guarded(limits: BodyLimits, parts: list[Message], pause_seconds: float = 0.0) -> list[Message]:
    """What the guard answers to a body in these parts; an app behind it answers 200."""
    answered: list[Message] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        await asyncio.sleep(pause_seconds)
        return parts.pop(0)

    async def send(message: Message) -> None:
        answered.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/jobs",
        "headers": [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")],
    }
    guard = BodyGuard(app, FaultAnswers((), Metrics()), limits)
    asyncio.run(guard(scope, receive, send))
    return answered


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_that_trickles_in_is_answered_408() -> None:
    parts = [part(b" ", more=True) for _ in range(1000)]
    answer = guarded(BodyLimits(1000, seconds=0.1), parts, pause_seconds=0.01)
    assert answer[0]["status"] == 408
    assert (b"connection", b"close") in answer[0]["headers"]


def test_a_body_in_many_parts_is_read_whole() -> None:
    text = b'{"prompt": "a"}'
    parts = [part(text[at : at + 1], more=at + 1 < len(text)) for at in range(len(text))]
    assert guarded(BodyLimits(1000), parts)[0]["status"] == 200


def test_the_size_counts_without_a_length_too() -> None:
    parts = [part(b" " * 600, more=True), part(b" " * 600, more=False)]
    assert guarded(BodyLimits(1000), parts)[0]["status"] == 413


def test_many_large_bodies_at_a_time_are_asked_to_come_later() -> None:
    parts = [part(b" " * 600, more=True), part(b" " * 600, more=False)]
    answer = guarded(BodyLimits(2000, max_total_bytes=1000), parts)
    assert answer[0]["status"] == 503
    assert (b"retry-after", b"1") in answer[0]["headers"]
