"""The gRPC ports: calls from their first byte to the answer and the line in the log."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from devserver.errors import Code, ServingError, StartError
from devserver.execution.predictor import Predictor, RequestNotes
from devserver.flags import FlagError, Flags
from devserver.memory import MemoryBudget
from devserver.metrics import Metrics
from devserver.model.servable import Servable
from devserver.rest.http_server import bind_message
from devserver.rpc import reflection
from devserver.rpc.calls import INCOMPLETE_CALLS, MAX_MESSAGE_BYTES, Calls
from devserver.rpc.message_memory import message_memory
from devserver.rpc.services import PREDICT, Handler, Services

log = logging.getLogger("devserver")

_GRPC_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_CONNECTION_IDLE_MS = 600_000


class RpcServer(grpc.GenericRpcHandler):
    """Listens once constructed; `start` begins handling requests.

    Raises:
        StartError: the port is in use, or the address is not one of this machine.
    """

    def __init__(
        self,
        flags: Flags,
        servable: Servable,
        predictor: Predictor,
        metrics: Metrics,
        memory: MemoryBudget,
    ) -> None:
        self._servable = servable
        self._metrics = metrics
        self._memory = memory
        self._services = Services(
            servable, predictor, memory, flags.enable_serialization_as_tensor_content
        )
        has_health = flags.enable_grpc_healthcheck_service
        self._handlers = self._services.handlers(has_health)
        handled = max(1, flags.grpc_max_threads)
        self._calls = Calls(handled)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(handled + INCOMPLETE_CALLS, "grpc"),
            handlers=[self],
            options=_options(flags.grpc_channel_arguments),
            maximum_concurrent_rpcs=handled + INCOMPLETE_CALLS,
        )
        reflection.enable(self._server, self._calls, has_health)
        if flags.port:
            self._bind(flags.host, flags.port)
        if flags.grpc_socket_path:
            self._bind_socket(flags.grpc_socket_path)

    def start(self) -> None:
        self._server.start()

    def stop(self, deadline: float) -> None:
        """Stops accepting requests, then waits for those in flight."""
        self._services.stop()
        self._calls.stop()
        self._server.stop(max(0.0, deadline - time.monotonic())).wait()

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            return None

        def answer(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            return self._answer(method, handler, messages, context)

        # On the wire a stream of one message is the same, and this server decides when to read it.
        return grpc.stream_unary_rpc_method_handler(answer)

    def _bind(self, host: str, port: int) -> None:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            # gRPC prints several lines of its own if it fails, so try a plain socket first.
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
            self._server.add_insecure_port(address)
        except (OSError, RuntimeError) as error:
            raise StartError(bind_message("gRPC", "port", host, port, error)) from error

    def _bind_socket(self, path: str) -> None:
        try:
            self._server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise StartError(f"--grpc_socket_path: cannot listen on {path}") from error

    def _answer(
        self,
        method: str,
        handler: Handler,
        messages: Iterator[bytes],
        context: grpc.ServicerContext,
    ) -> bytes:
        start = time.monotonic()
        notes = RequestNotes()
        failure: ServingError | None = None
        answer = b""
        try:
            request = self._calls.receive(messages, context)
            with self._memory.share() as share:
                share.hold(message_memory(request))
                with self._calls.slot():
                    answer = handler(request, context, notes)
        except grpc.RpcError:
            log.info("gRPC %s CANCELLED before its message came", method)
            raise
        except ServingError as error:
            failure = error
        except DecodeError:
            failure = ServingError(Code.INTERNAL, "The request is not a message of its type")
        except Exception as error:
            log.exception("gRPC %s failed", method)
            failure = ServingError(Code.INTERNAL, f"Internal error: {type(error).__name__}")
        code = failure.code if failure else Code.OK
        seconds = time.monotonic() - start
        if method == PREDICT:
            label = self._servable.metric_label(notes.model_name)
            self._metrics.record_request(label, code, seconds, "Predict", "GRPC")
        wait = notes.queue_wait_seconds
        log.info(
            "gRPC %s %s %.1f ms%s",
            method,
            code.name,
            seconds * 1000,
            "" if wait is None else f", queued {wait * 1000:.1f} ms",
        )
        if failure:
            context.abort(_GRPC_CODES[failure.code], failure.grpc_details())
        return answer


def _options(channel_arguments: str) -> list[tuple[str, int | str]]:
    """gRPC's server options, those of the flag `grpc_channel_arguments` last."""
    options: dict[str, int | str] = {
        "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
        "grpc.max_send_message_length": -1,
        "grpc.max_connection_idle_ms": _CONNECTION_IDLE_MS,
        # Otherwise a second server could start on the same port, and get half of the requests.
        "grpc.so_reuseport": 0,
    }
    for argument in filter(None, channel_arguments.split(",")):
        key, separator, value = argument.partition("=")
        if not separator:
            raise FlagError(f"--grpc_channel_arguments: expected key=value, not {argument!r}")
        options[key] = int(value) if value.lstrip("-").isdigit() else value
    return list(options.items())


def quiet_grpc() -> None:
    """gRPC's C core logs to stderr on its own; errors that matter are raised as exceptions."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
