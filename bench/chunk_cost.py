"""What drawing in chunks costs: a server's ready time and memory, a call, a whole picture.

    python -m bench.chunk_cost MODEL
    python -m bench.chunk_cost MODEL --before OLDER_MODEL --rounds 3

MODEL is a published model's folder, and OLDER_MODEL one without the signatures for chunks. Their
servers start in turns. That of MODEL then draws a picture whole and in chunks of one step, and
answers a call of no steps before each chunk. All goes over gRPC, as the web service does it. After
the seconds come the server's processor seconds, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

from model_export.spec import MODEL_NAME
from prediction.limits import PictureRequest
from prediction.rpc_async import AsyncGrpcTransport
from tests.devserver.processes import Server
from tests.processes import wait_until

TIMEOUT_SECONDS = 3600.0
START_LIMIT_SECONDS = 1800.0
POLL_SECONDS = 0.1
FLAGS = (f"--model_name={MODEL_NAME}",)  # if a flag is given twice, the last one counts
MAX_GROWTH = 1.10
"""Of the ready time and of the peak memory."""
MAX_IDLE_SHARE = 0.02
"""Of a step, for a call that draws none."""


class Moment(NamedTuple):
    """Seconds of the clock, and of the server's processor time."""

    wall: float
    cpu: float

    def since(self, before: Moment) -> Moment:
        return Moment(self.wall - before.wall, self.cpu - before.cpu)


@dataclass
class Starts:
    """What starting a server took, and its peak memory after one picture."""

    ready: list[Moment] = field(default_factory=list)
    peak_bytes: list[float] = field(default_factory=list)


@dataclass
class Chunks:
    """What pictures and calls took, and the bytes of the largest state."""

    whole: list[Moment] = field(default_factory=list)
    chunked: list[Moment] = field(default_factory=list)
    idle: list[Moment] = field(default_factory=list)
    steps: list[Moment] = field(default_factory=list)
    state_bytes: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.chunk_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--before", type=Path, help="a model to compare the start with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="of each picture [8]")
    options = parser.parse_args()
    starts = {model: Starts() for model in (options.before, options.model) if model}
    chunks = Chunks()
    for turn in range(options.rounds):
        for model in list(starts)[:: 1 if turn % 2 == 0 else -1]:
            with server(model) as (running, ready):
                whole = asyncio.run(draw_whole(running, options.steps))
                starts[model].ready.append(ready)
                starts[model].peak_bytes.append(peak_bytes(running))
                if model == options.model:
                    chunks.whole.append(whole)
                    asyncio.run(draw_in_chunks(running, options.steps, chunks))
                print(f"{model}: ready {ready}, a picture {whole}", flush=True)
    report(starts, options.before, options.model, chunks)


@contextmanager
def server(model: Path) -> Iterator[tuple[Server, Moment]]:
    """A server of the model, and what it took until it was ready."""
    began = time.monotonic()
    running = Server(model, FLAGS).start()
    try:
        wait_until(lambda: is_ready(running), "the model", START_LIMIT_SECONDS)
        yield running, now(running).since(Moment(began, 0.0))
    finally:
        running.stop()


def is_ready(running: Server) -> bool:
    if running.process.poll() is not None:
        raise SystemExit(f"error: the server exited: {running.output()}")
    time.sleep(POLL_SECONDS)
    try:
        answer = running.rest("GET", f"/v1/models/{MODEL_NAME}")
    except OSError:
        return False
    return b'"AVAILABLE"' in answer.body


def now(running: Server) -> Moment:
    times = psutil.Process(running.process.pid).cpu_times()
    return Moment(time.monotonic(), times.user + times.system)


def peak_bytes(running: Server) -> int:
    status = Path(f"/proc/{running.process.pid}/status").read_text(encoding="utf-8")
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) * 1024


def request(num_steps: int) -> PictureRequest:
    return PictureRequest("a lighthouse in a storm", "", num_steps, 7.5, 1)


async def draw_whole(running: Server, num_steps: int) -> Moment:
    transport = AsyncGrpcTransport(running.grpc_address, MODEL_NAME)
    began = now(running)
    await transport.predict(request(num_steps), TIMEOUT_SECONDS)
    took = now(running).since(began)
    await transport.close()
    return took


async def draw_in_chunks(running: Server, num_steps: int, found: Chunks) -> None:
    """One picture in chunks of one step, with a call of no steps before each of them."""
    transport = AsyncGrpcTransport(running.grpc_address, MODEL_NAME)
    began = now(running)
    begun = await transport.begin(request(num_steps), TIMEOUT_SECONDS)
    state, idle = begun.state, Moment(0.0, 0.0)
    for _ in range(num_steps):
        calls: list[Moment] = []
        for steps in (0, 1):
            asked = now(running)
            advanced = await transport.advance(state, begun.context, steps, TIMEOUT_SECONDS)
            calls.append(now(running).since(asked))
            state = advanced.state
            found.state_bytes = max(found.state_bytes, len(state))
        found.idle.append(calls[0])
        found.steps.append(calls[1].since(calls[0]))
        idle = Moment(idle.wall + calls[0].wall, idle.cpu + calls[0].cpu)
    await transport.finish(state, TIMEOUT_SECONDS)
    found.chunked.append(now(running).since(began).since(idle))
    await transport.close()


def report(starts: dict[Path, Starts], before: Path | None, model: Path, chunks: Chunks) -> None:
    clocks: dict[str, Callable[[Moment], float]] = {
        "seconds": lambda one: one.wall,
        "processor seconds": lambda one: one.cpu,
    }
    if before:
        peaks = [starts[path].peak_bytes for path in (before, model)]
        print(f"peak memory: {compared(*peaks)} bytes (limit {MAX_GROWTH})")
    for unit, clock in clocks.items():
        if before:
            ready = [[clock(one) for one in starts[path].ready] for path in (before, model)]
            print(f"ready: {compared(*ready)} {unit} (limit {MAX_GROWTH})")
        idle, steps = ([clock(one) for one in some] for some in (chunks.idle, chunks.steps))
        share = statistics.median(idle) / statistics.median(steps)
        print(f"a call of no steps: {spread(idle)} {unit}, a step: {spread(steps)}, ", end="")
        print(f"{share:.2%} (limit {MAX_IDLE_SHARE:.0%})")
        pictures = ([clock(one) for one in some] for some in (chunks.whole, chunks.chunked))
        print(f"a picture whole, and in chunks of one step: {compared(*pictures)} {unit}")
    print(f"the largest state: {chunks.state_bytes:,} bytes")


def compared(before: Sequence[float], after: Sequence[float]) -> str:
    ratio = statistics.median(after) / statistics.median(before)
    return f"{spread(before)} → {spread(after)}, {ratio:.3f}×"


def spread(values: Sequence[float]) -> str:
    """The median, the lowest and the highest."""
    return f"{statistics.median(values):.4g} ({min(values):.4g} to {max(values):.4g})"


if __name__ == "__main__":
    main()
