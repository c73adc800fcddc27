"""The published Knative guide's load on one worker's pod, with the real queue-proxy.

    python -m bench.queue_proxy
    python -m bench.queue_proxy --requests 20 --model .state/models/FINGERPRINT

Starts what is in a worker's pod, with the demo model on the local model server, and times its cold
start: from nothing to the first picture. Then `hey` sends the guide's requests, and the table shows
its report beside the guide's own. That one is of pods with a GPU each, which grew from one to five
meanwhile: what the two have in common is how the callers wait, not how fast a picture is.

It needs Knative's queue-proxy as `queue`, and `hey`, both on PATH, and root for a network of its
own.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench import hey
from bench.two_servers import export
from tests.devserver.processes import NAME, Server
from tests.knative.queue_proxy.network import own_network
from tests.knative.queue_proxy.pod import PROMPT, TXT2IMG, WORKER, Pod, Watch
from tests.knative.queue_proxy.process import MISSING, URL, QueueProxy, program
from tests.processes import wait_until
from tests.web.running import WebProcess

PORT, METRICS_PORT = 18_080, 18_081
"""The worker's, in a network of its own."""
START_LIMIT_SECONDS = 600.0
PUBLISHED = hey.Report(
    total_seconds=252.17,
    requests_per_second=0.198,
    fastest_seconds=9.94,
    average_seconds=23.97,
    slowest_seconds=62.42,
    percentiles={10: 10.47, 25: 14.82, 50: 20.08, 75: 30.52, 90: 50.70, 95: 61.50},
    statuses={200: 50},
    errors={},
)
"""The guide's: hey -n 50 -c 5, from a first pod to five."""


@dataclass(frozen=True)
class ColdStart:
    """Seconds from the start of the pod's three processes."""

    ready: float
    first_picture: float


@dataclass(frozen=True)
class Measured:
    """depth: requests inside queue-proxy, at most. in_flight: requests inside the worker, at
    most."""

    cold_start: ColdStart
    report: hey.Report
    depth: int
    in_flight: int


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.queue_proxy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--at-once", type=int, default=5)
    parser.add_argument("--model", type=Path, help="base path of a model [exports the demo model]")
    options = parser.parse_args()
    if program() is None:
        sys.exit(f"error: {MISSING}")
    with tempfile.TemporaryDirectory() as folder:
        base = options.model or export(Path(folder))
        try:
            with own_network():
                measured = measure(base, options.requests, options.at_once)
        except PermissionError:
            sys.exit("error: a network of its own needs root: run this as root")
        except hey.HeyError as error:
            sys.exit(f"error: {error}")
    print("\n".join(table(measured)))


def measure(base: Path, requests: int, at_once: int) -> Measured:
    started = time.monotonic()
    with starting_pod(base) as pod:
        wait_until(lambda: is_ready(pod), "the pod to be ready", START_LIMIT_SECONDS)
        ready = time.monotonic() - started
        pod.post().result().raise_for_status()
        cold_start = ColdStart(ready, time.monotonic() - started)
        with Watch(pod.proxy) as seen:
            report = hey.run(f"{URL}{TXT2IMG}", PROMPT, requests, at_once)
        return Measured(cold_start, report, int(seen.depth), int(pod.most_in_flight()))


@contextmanager
def starting_pod(base: Path) -> Iterator[Pod]:
    """All its processes begin at the same moment, as its containers do."""
    with ExitStack() as stack:
        server = Server(base)
        ports = (f"--port={PORT}", f"--metrics-port={METRICS_PORT}")
        worker = WebProcess([server.grpc_address], [*WORKER, f"--model-name={NAME}", *ports])
        proxy = QueueProxy(PORT)
        for process in (server, worker, proxy):
            process.start()
            stack.callback(process.stop)
        yield Pod(worker, proxy)


def is_ready(pod: Pod) -> bool:
    try:
        return pod.proxy.probe() == httpx.codes.OK
    except httpx.TransportError:
        return False


def table(measured: Measured) -> list[str]:
    """In Markdown."""
    cold, processors = measured.cold_start, len(os.sched_getaffinity(0))
    return [
        f"| | this machine ({processors} CPUs), one pod | published, one to five pods with a GPU |",
        "|---|---|---|",
        *(_row(name, *cells) for name, cells in _figures(measured.report, PUBLISHED)),
        _row("requests in queue-proxy, at most", str(measured.depth), "–"),
        _row("requests in the worker, at most", str(measured.in_flight), "–"),
        _row("from a cold start: ready", f"{cold.ready:.2f} s", "–"),
        _row("from a cold start: first picture", f"{cold.first_picture:.2f} s", "–"),
    ]


def _figures(here: hey.Report, there: hey.Report) -> Iterator[tuple[str, tuple[str, str]]]:
    yield "answered 200", (here.of_all(200), there.of_all(200))
    yield "in all", (f"{here.total_seconds:.2f} s", f"{there.total_seconds:.2f} s")
    yield (
        "requests/s",
        (f"{here.requests_per_second:.3f}", f"{there.requests_per_second:.3f}"),
    )
    for name in ("fastest", "average", "slowest"):
        seconds = [getattr(report, f"{name}_seconds") for report in (here, there)]
        yield name, (f"{seconds[0]:.2f} s", f"{seconds[1]:.2f} s")
    for percent in there.percentiles:
        yield f"p{percent}", (_percentile(here, percent), _percentile(there, percent))


def _percentile(report: hey.Report, percent: int) -> str:
    seconds = report.percentiles.get(percent)
    return "–" if seconds is None else f"{seconds:.2f} s"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
