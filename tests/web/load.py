"""Many callers at once, with little work of their own, for tests under load."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import psutil


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


class Connection:
    """One caller's connection, kept open between requests."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: dict[str, Any]) -> Reply:
        return await self._send("POST", path, json.dumps(body).encode())

    async def get(self, path: str) -> Reply:
        return await self._send("GET", path, b"")

    async def open_stream(self, path: str) -> asyncio.StreamReader:
        """The reader of an answer that does not end, after its head."""
        reader, writer = await self._connected()
        writer.write(self._head("GET", path, 0))
        await reader.readuntil(b"\r\n\r\n")
        return reader

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _send(self, method: str, path: str, body: bytes) -> Reply:
        start = time.monotonic()
        reader, writer = await self._connected()
        writer.write(self._head(method, path, len(body)) + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Reply(int(head[0].split()[1]), headers, content, time.monotonic() - start)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**22)
        return self._streams

    def _head(self, method: str, path: str, length: int) -> bytes:
        lines = [
            f"{method} {path} HTTP/1.1",
            f"host: 127.0.0.1:{self._port}",
            "content-type: application/json",
            f"content-length: {length}",
        ]
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass
class Tally:
    """What callers got. unexpected: answers that are neither a picture nor a fair refusal."""

    statuses: Counter[int] = field(default_factory=Counter[int])
    unexpected: list[str] = field(default_factory=list[str])
    longest_seconds: float = 0.0

    def add(self, reply: Reply) -> None:
        self.statuses[reply.status] += 1
        self.longest_seconds = max(self.longest_seconds, reply.seconds)
        retry_after = int(reply.headers.get("retry-after", 0))
        if reply.status == 503 and 1 <= retry_after <= 60:
            return
        if reply.status == 200 and len(reply.body) > 100:
            return
        self.unexpected.append(f"{reply.status} {reply.headers} {reply.body[:200]!r}")


async def call_repeatedly(
    port: int, callers: int, requests: int, tally: Tally, pause_seconds: float = 0.0
) -> None:
    """Each caller asks by one of both foreign APIs, again and again, whatever it is answered.

    pause_seconds: after each answer.
    """

    async def call(number: int) -> None:
        connection = Connection(port)
        await asyncio.sleep(pause_seconds * number / callers)
        for round_number in range(requests // callers):
            prompt = f"a red circle {number} {round_number}"
            path = ("/v1/images/generations", "/sdapi/v1/txt2img")[(number + round_number) % 2]
            tally.add(await connection.post(path, {"prompt": prompt}))
            await asyncio.sleep(pause_seconds)
        connection.close()

    await asyncio.gather(*(call(number) for number in range(callers)))


class HealthProbe:
    """Asks for /health fifty times a second, in a process of its own, until the block ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._seconds: list[float] = []

    def p99_seconds(self) -> float:
        return sorted(self._seconds)[int(len(self._seconds) * 0.99)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "begun\n"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        output, _ = self._process.communicate()
        if error is None:
            assert self._process.returncode == 0
            self._seconds = json.loads(output)


def _probe(port: int) -> None:
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    seconds: list[float] = []
    print("begun", flush=True)
    while not ended.wait(0.02):
        start = time.perf_counter()
        connection.request("GET", "/health")
        response = connection.getresponse()
        response.read()
        seconds.append(time.perf_counter() - start)
        assert response.status == 200
    print(json.dumps(seconds))


def resident_bytes(pid: int) -> int:
    return psutil.Process(pid).memory_info().rss


if __name__ == "__main__":
    _probe(int(sys.argv[1]))
