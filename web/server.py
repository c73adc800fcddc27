"""The life of the process: two listeners, and an end that loses no picture that is being drawn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Generator, Sequence

import uvicorn
from starlette.types import ASGIApp

from console.kept import is_kept
from web import log, options
from web.application import create_app
from web.errors import StartError
from web.gauges import Gauges
from web.metrics_page import create_metrics_app
from web.roles import Role
from web.safety.connection import TimedProtocol
from web.safety.heads import MAX_HEAD_BYTES
from web.safety.keys import KeysError
from web.service import Service

EXIT_FAILED = 1
MAX_CONNECTIONS = 16_384
KEEP_ALIVE_SECONDS = 620
"""Longer than Google's load balancers keep an idle connection, which is 600 s: they would send a
request into one that has just been closed, and answer 502."""
COLLECT_SECONDS = 2.0
"""After the last picture of a stop: callers that poll come once more for it."""
UNASKED_SECONDS = 2.0
"""After so long without a job, a worker that stops is no longer asked for any."""
LOOK_SECONDS = 0.1
FIRST_CHECKS_SECONDS = 5.0
CLOSE_SECONDS = 5
"""For answers on their way when the listeners close."""

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Runs the service until it is stopped; returns the process's exit code."""
    parsed = options.parse(arguments)
    try:
        service = Service(parsed)
        web_socket = listen(parsed.host, parsed.port)
        metrics_socket = listen(parsed.metrics_host, parsed.metrics_port)
    except (StartError, KeysError) as error:
        print(f"web: {error}", file=sys.stderr)
        return EXIT_FAILED
    log.start()
    _allow_connections()
    return asyncio.run(_run(service, web_socket, metrics_socket))


async def _run(service: Service, web_socket: socket.socket, metrics_socket: socket.socket) -> int:
    stopped, parsed = _first_signal(), service.options
    service.metrics.register(Gauges(service))
    metrics_app = create_metrics_app(service.metrics, any_host=service.keys_file is not None)
    listeners = Listener(create_app(service)), Listener(metrics_app)
    await service.start()
    # So that nobody is told of a model server that is only not found yet.
    await service.models.first_checks(FIRST_CHECKS_SECONDS)
    serving = asyncio.gather(
        *(
            listener.serve([bound])
            for listener, bound in zip(listeners, (web_socket, metrics_socket), strict=True)
        )
    )
    logger.info(
        "start: %s, metrics %s/metrics; %s",
        _address(web_socket),
        _address(metrics_socket),
        f"workers {parsed.worker_url}"
        if parsed.worker_url
        else f"model servers {', '.join(parsed.model_servers)}",
    )
    if parsed.stop_unless_kept:
        threading.Thread(target=_watch_stdin, daemon=True).start()
    number = await stopped
    logger.info("stop: %s", number.name)
    await _drain(service, parsed.stop_seconds)
    for listener in listeners:
        listener.should_exit = True
    await serving
    await service.stop()
    logger.info("stopped")
    return 0 if number is signal.SIGTERM else 128 + number


def _first_signal() -> asyncio.Future[signal.Signals]:
    """The signal that asks the process to stop. A second one ends it at once."""
    loop = asyncio.get_running_loop()
    first: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        if first.done():
            logger.info("exited immediately: %s", number.name)
            os._exit(128 + number)
        first.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    return first


def _watch_stdin() -> None:
    if not is_kept():
        logger.info("standard input closed before the line keep: stopping")
        os.kill(os.getpid(), signal.SIGTERM)


async def _drain(service: Service, limit_seconds: float) -> None:
    """Take no more jobs, and let those end that are drawn. The listeners still answer: 503, and
    what becomes of the last jobs. A worker takes jobs as long as they come: whoever queues before
    it has accepted them."""
    was_drawing = service.queue.drawing > 0
    try:
        async with asyncio.timeout(limit_seconds):
            if service.options.role is Role.WORKER:
                await _wait_until_unasked(service)
            service.queue.drain()
            await service.queue.wait_until_idle()
    except TimeoutError:
        logger.warning("a job is still being drawn after %g s: it is given up", limit_seconds)
        await service.queue.stop()
    if was_drawing:
        await asyncio.sleep(COLLECT_SECONDS)


async def _wait_until_unasked(service: Service) -> None:
    loop = asyncio.get_running_loop()
    last_asked = loop.time()
    while loop.time() - last_asked < UNASKED_SECONDS:
        if service.queue.drawing or service.queue.queued:
            last_asked = loop.time()
        await asyncio.sleep(LOOK_SECONDS)


class Listener(uvicorn.Server):
    """One of two in a process, whose signals belong to neither."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=TimedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                h11_max_incomplete_event_size=4 * MAX_HEAD_BYTES,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=CLOSE_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        yield


def listen(host: str, port: int) -> socket.socket:
    """Raises StartError."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.create_server(address[:2], family=family, backlog=2048)
        # For all its connections. Without it, whoever keeps a connection waits 40 ms for each
        # answer's body: asyncio does it only for sockets whose protocol is named.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return bound
    except OSError as error:
        # The library names the address once more in its own text.
        is_name = isinstance(error, socket.gaierror)
        cause = error.strerror if is_name else os.strerror(error.errno or 0)
        raise StartError(
            f"cannot listen on {host} port {port}: {cause}; choose another by --port or "
            "--metrics-port, or stop what uses it"
        ) from None


def _allow_connections() -> None:
    """As many as the system lets a process raise its own limit to: each takes a file descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < MAX_CONNECTIONS and soft != resource.RLIM_INFINITY:
        most = MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, MAX_CONNECTIONS)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
