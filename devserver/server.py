"""The life cycle of the server process: bind, load, serve, stop.

The ports are bound before TensorFlow is imported, so that a client can tell a loading server
from one that is down, and a port in use is reported at once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

from console.kept import is_kept
from devserver import flags, log, metrics
from devserver.errors import StartError
from devserver.execution import batching
from devserver.execution.predictor import Predictor
from devserver.flags import FlagError, Flags
from devserver.memory import MemoryBudget
from devserver.metrics import Metrics
from devserver.model.servable import Servable
from devserver.rest.api import RestApi
from devserver.rest.http_server import HttpServer
from devserver.rpc.rpc_server import RpcServer, quiet_grpc

STOP_GRACE_SECONDS = 10.0
"""How long a stop waits for the requests in flight."""

VERSION = "devserver, with the API of TensorFlow ModelServer 2.20"

EXIT_FAILED = 1
EXIT_BAD_FLAG = 255  # TF Serving returns -1

logger = logging.getLogger("devserver")


def main(arguments: Sequence[str]) -> int:
    """Runs the server until it is stopped or fails; returns the process's exit code."""
    try:
        parsed, warnings = flags.parse(arguments)
        if parsed.help:
            print(flags.usage())
            return 0
        if parsed.version:
            print(VERSION)
            return 0
    except FlagError as error:
        print(f"devserver: {error}", file=sys.stderr)
        return EXIT_BAD_FLAG
    try:
        log.start(parsed.log_file)
    except StartError as error:
        print(f"devserver: {error}", file=sys.stderr)
        return EXIT_FAILED
    for warning in warnings:
        logger.warning(warning)
        if parsed.log_file:
            print(f"devserver: warning: {warning}", file=sys.stderr)
    try:
        _Process(parsed).run()
    except (StartError, FlagError) as error:
        logger.error("%s", error)
        if parsed.log_file:
            print(f"devserver: {error}", file=sys.stderr)
        return EXIT_BAD_FLAG if isinstance(error, FlagError) else EXIT_FAILED
    return 0


class _Process:
    """The parts of one server process. Construction binds the ports."""

    def __init__(self, parsed: Flags) -> None:
        quiet_grpc()
        # Keep TensorFlow's notes on CPU features and the like out of the log.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        self._flags = parsed
        # A byte in this pipe wakes the main thread: a signal's number, or 0 when a thread is done.
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._failure: StartError | None = None
        self._stopping = False
        measured = self._metrics = Metrics()
        self._servable = Servable(parsed.model_name)
        self._predictor = Predictor(
            parsed.model_name,
            batching.read(parsed.enable_batching, parsed.batching_parameters_file),
            measured,
        )
        metrics_path = metrics.monitoring_path(parsed.monitoring_config_file)
        memory = MemoryBudget()
        self._rest = None
        if parsed.rest_api_port:
            api = RestApi(parsed, self._servable, self._predictor, measured, metrics_path)
            self._rest = HttpServer(
                parsed.host, parsed.rest_api_port, api, parsed.rest_api_num_threads, memory
            )
        self._rpc = RpcServer(parsed, self._servable, self._predictor, measured, memory)

    def run(self) -> None:
        """Serves until a signal comes.

        Raises:
            StartError: the model could not be loaded.
        """
        # A signal may reach any thread, and Python runs handlers only when the main thread wakes
        # up by itself. The wake-up pipe is written to at once, whichever thread it is.
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda n, _: None)
        if self._rest:
            self._rest.start()
        self._rpc.start()
        logger.info("start: %s; loading %s", self._addresses(), self._flags.model_base_path)
        threading.Thread(target=self._load, name="load", daemon=True).start()
        if self._flags.stop_unless_kept:
            threading.Thread(target=self._watch_stdin, name="stdin", daemon=True).start()
        number = self._wait()
        if self._failure:
            raise self._failure
        self._stopping = True
        logger.info("stop: %s", signal.Signals(number).name)
        threading.Thread(target=self._stop, name="stop", daemon=True).start()
        if second := self._wait():
            logger.info("exited immediately: %s", signal.Signals(second).name)
            os._exit(128 + second)

    def _wait(self) -> int:
        """Waits for a signal and returns its number, or 0 when a thread reports."""
        return os.read(self._wake_read, 1)[0]

    def _report(self) -> None:
        os.write(self._wake_write, b"\0")

    def _watch_stdin(self) -> None:
        """Stop if the process that started this server dies before it has recorded the server:
        then standard input closes without the line."""
        if is_kept():
            return
        logger.info("standard input closed before the line keep: stopping")
        if not self._stopping:
            os.write(self._wake_write, bytes([signal.SIGTERM]))

    def _addresses(self) -> str:
        host = f"[{self._flags.host}]" if ":" in self._flags.host else self._flags.host
        addresses = []
        if self._rest:
            addresses.append(f"REST http://{host}:{self._flags.rest_api_port}")
        if self._flags.port:
            addresses.append(f"gRPC {host}:{self._flags.port}")
        if self._flags.grpc_socket_path:
            addresses.append(f"gRPC unix:{self._flags.grpc_socket_path}")
        return ", ".join(addresses)

    def _load(self) -> None:
        try:
            self._load_model()
        except StartError as error:
            self._failure = error
        except Exception as error:
            logger.exception("loading failed")
            self._failure = StartError(f"loading failed: {type(error).__name__}: {error}")
        if self._failure:
            self._report()

    def _load_model(self) -> None:
        from devserver.model import loading, warmup

        base = self._flags.model_base_path
        found = loading.find_version(base)
        if not found:
            seconds = self._flags.file_system_poll_wait_seconds
            if not seconds:
                raise StartError(f"{base} contains no version: no folder whose name is a number")
            logger.warning("no version in %s yet; checking every %d s", base, seconds)
            while not found:
                time.sleep(seconds)
                found = loading.find_version(base)
        number, folder = found
        self._servable.set_loading(number)
        start = time.monotonic()
        loaded = loading.load(self._flags, number, folder)
        records = 0
        if self._flags.enable_model_warmup:
            passes = max(1, self._flags.num_request_iterations_for_warmup)
            warmup_start = time.monotonic()
            records = warmup.run(loaded, folder, passes, self._predictor)
            if records:
                seconds = time.monotonic() - warmup_start
                self._metrics.record_warmup(str(folder), seconds, records)
        self._servable.set_available(loaded)
        logger.info(
            "ready: model %s version %d, %s, loaded in %.1f s, %d warm-up records",
            self._servable.name,
            number,
            self._addresses(),
            time.monotonic() - start,
            records,
        )

    def _stop(self) -> None:
        """Lets the running request finish."""
        deadline = time.monotonic() + STOP_GRACE_SECONDS
        self._servable.set_unloading()
        self._predictor.stop()
        # Both servers must stop accepting requests before either one finishes its last.
        stopping = threading.Thread(target=self._rpc.stop, args=(deadline,), daemon=True)
        stopping.start()
        if self._rest:
            self._rest.stop(deadline)
        stopping.join(max(0.0, deadline - time.monotonic()) + 1.0)
        late = time.monotonic() >= deadline
        logger.info("stopped%s", ", with requests aborted" if late else "")
        self._report()
