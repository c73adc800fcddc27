"""Throughput of two servers behind the client's least-loaded balancing, against one of them.

    python -m bench.two_servers
    python -m bench.two_servers --requests 60 --rounds 5

Starts two servers of the demo model, each pinned to its own processor core, with one TensorFlow
thread. In every round one server draws alone and both draw together, in alternating order, so that
a busy machine slows both. Each server gets the same number of requests either way, with the same
number in flight, and its rate counts until its last picture. The client uses a little of the same
cores; on a machine with more than two, it gets the others.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from client import Client, ClientError, ModelState
from client.load.plan import at_a_time
from client.load.run import Load, Result
from client.load.summary import summarize
from model_export.spec import MODEL_NAME
from tests.devserver.processes import Server, wait_until

ROOT = Path(__file__).resolve().parents[1]
PROMPT = "a large blue star on a black background"
IN_FLIGHT_PER_SERVER = 2
TARGET_RATIO = 1.9
TIMEOUT_SECONDS = 600
"""Long, so that a busy machine gives a slow round rather than a failed one."""
FLAGS = (
    f"--model_name={MODEL_NAME}",  # if a flag is given twice, the last one counts
    f"--rest_api_timeout_in_ms={TIMEOUT_SECONDS * 1000}",
    "--tensorflow_intra_op_parallelism=1",
    "--tensorflow_inter_op_parallelism=1",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.two_servers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--requests", type=int, default=40, help="per server [40]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="base path of a model [exports the demo model]")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("error: two servers need two processor cores")
    with tempfile.TemporaryDirectory() as folder:
        base = options.model or export(Path(folder))
        with two_servers(base) as endpoints:
            report(measure(endpoints, options.requests, options.rounds))


@contextmanager
def two_servers(base: Path) -> Iterator[list[str]]:
    """The endpoints of two ready servers of the model, each on its own core.

    Meanwhile this process runs on the other cores, if there are any.
    """
    before = os.sched_getaffinity(0)
    first, second, *others = sorted(before)
    servers: list[Server] = []
    try:
        for core in (first, second):
            servers.append(start(base, core))
        endpoints = [f"http://127.0.0.1:{server.rest_port}" for server in servers]
        for server, endpoint in zip(servers, endpoints, strict=True):
            wait_until(lambda s=server, e=endpoint: is_ready(s, e), "the model", TIMEOUT_SECONDS)
        os.sched_setaffinity(0, others or before)
        yield endpoints
    finally:
        os.sched_setaffinity(0, before)
        for server in servers:
            server.stop()


def export(folder: Path) -> Path:
    """Exports the demo model; returns its base path, which holds the version folder."""
    command = [sys.executable, "-m", "model_export", "export", "--to", folder.as_uri()]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (manifest,) = folder.glob("*/manifest.json")
    return manifest.parent


def start(base: Path, core: int) -> Server:
    """A server pinned to one core with all its threads, which inherit its affinity."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        server = Server(base, FLAGS).start()
    finally:
        os.sched_setaffinity(0, before)
    assert psutil.Process(server.process.pid).cpu_affinity() == [core]
    return server


def is_ready(server: Server, endpoint: str) -> bool:
    if server.process.poll() is not None:
        sys.exit(f"error: a server exited: {server.output()}")
    try:
        with Client(endpoint) as client:
            return client.status().state is ModelState.READY
    except ClientError:
        return False


def measure(
    endpoints: Sequence[str], requests: int, rounds: int, num_steps: int | None = None
) -> list[tuple[float, float]]:
    """Pictures per second of one server and of two, for each round. requests: per server."""
    for endpoint in endpoints:  # warm-up
        throughput([endpoint], 2, num_steps)
    found: list[tuple[float, float]] = []
    for turn in range(rounds):
        alone = endpoints[turn // 2 % 2]  # each server, in both orders
        runs = {1: [alone], 2: endpoints}
        order = (1, 2) if turn % 2 == 0 else (2, 1)
        rates = {count: throughput(runs[count], count * requests, num_steps) for count in order}
        found.append((rates[1], rates[2]))
        line = f"round {turn + 1}: one {rates[1]:.3g}, two {rates[2]:.3g} pictures/s"
        print(line, file=sys.stderr, flush=True)
    return found


def throughput(endpoints: Sequence[str], requests: int, num_steps: int | None) -> float:
    with Client(endpoints, timeout_seconds=TIMEOUT_SECONDS) as client:
        first = client.prepare(PROMPT, num_steps=num_steps, seed=1)
        pictures = [replace(first, seed=seed) for seed in range(1, requests + 1)]
        workers = IN_FLIGHT_PER_SERVER * len(endpoints)
        outcome = Load(client, at_a_time(pictures, workers)).run()
    summary = summarize(outcome)
    if summary.pictures != requests:
        sys.exit(f"error: got {summary.pictures} of {requests} pictures: {summary.errors}")
    return rate(outcome.results)


def rate(results: Sequence[Result]) -> float:
    """Pictures per second under sustained load: the sum of every server's own rate.

    A server's rate counts until its last picture. If one server idles while the other finishes,
    that shows how few requests were sent, not how fast two servers are.
    """
    last: dict[str, float] = {}
    for result in results:
        assert result.finished is not None
        last[result.endpoint] = max(last.get(result.endpoint, 0.0), result.finished)
    drawn = Counter(result.endpoint for result in results)
    return sum(drawn[endpoint] / seconds for endpoint, seconds in last.items())


def report(rounds: Sequence[tuple[float, float]]) -> None:
    ratios = sorted(two / one for one, two in rounds)
    print(
        f"two servers / one: median {statistics.median(ratios):.2f} "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}), target {TARGET_RATIO}"
    )


if __name__ == "__main__":
    main()
