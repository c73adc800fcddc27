"""What the failures of calls to TF Serving's gRPC API mean."""

from __future__ import annotations

import os
import re
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its C core would write to standard error

import grpc

from prediction.errors import ClientError, one_line
from prediction.failures import Failures, NotServedError

# gRPC reports its own failures as UNAVAILABLE, as a server does that is full: its words differ.
_NOT_CONNECTED = re.compile(r"failed to connect to all addresses", re.IGNORECASE)
_NO_GRPC = re.compile(r"failed parsing http/2|http1\.x server", re.IGNORECASE)
_NO_SUCH_HOST = re.compile(r"(dns|name) resolution failed|domain name not found", re.IGNORECASE)
_TOO_LONG = re.compile(r"CLIENT: Received message larger than max \(\d+ vs\. (\d+)\)")
_REQUEST_TOO_LONG = re.compile(r"message larger than max|would take more than", re.IGNORECASE)
"""No later moment helps, other than with a server that is full."""
_RESET = re.compile(r"received rst_stream", re.IGNORECASE)
"""The code depends on the reason that came with it."""
_LOST = re.compile(
    r"stream removed|socket closed|connection (reset|closed|dropped)|broken pipe|recvmsg|sendmsg|"
    r"goaway|keepalive|cancelling all calls|endpoint closing",
    re.IGNORECASE,
)
_ENDED_AT_ONCE = re.compile(r"recvmsg|socket closed|connection reset|timed out", re.IGNORECASE)
"""What a port with TLS does to a client without."""


class RpcFailures(Failures):
    """Beside those that every server's connections have, gRPC's own."""

    def predict_failure(
        self, error: grpc.RpcError, timeout_seconds: float, *, in_time: bool
    ) -> ClientError | NotServedError:
        """The exception for a failed Predict. in_time: it failed within `timeout_seconds`."""
        message, code = _message(error), _code(error)
        if _RESET.search(message):
            return self.lost(_cause(message))
        match code:
            case grpc.StatusCode.DEADLINE_EXCEEDED if in_time:
                return self.given_up(message, code.name)
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                return self.timed_out(timeout_seconds)
            case (
                grpc.StatusCode.INVALID_ARGUMENT
                | grpc.StatusCode.FAILED_PRECONDITION
                | grpc.StatusCode.OUT_OF_RANGE
            ):
                return self.refused(message, code.name)
            case grpc.StatusCode.RESOURCE_EXHAUSTED:
                limit = _TOO_LONG.search(message)
                if limit is not None:
                    return self.too_long(int(limit[1]))
                if _REQUEST_TOO_LONG.search(message):
                    return self.refused(message, code.name)
                return self.full(message, code.name)
            case grpc.StatusCode.NOT_FOUND:
                return NotServedError(message, code.name, name_is_known=False)
            case grpc.StatusCode.UNAVAILABLE:
                return self._connection_failure(message) or NotServedError(
                    message, code.name, name_is_known=True
                )
            case _:
                return self.unexpected(code.name, message, code.name)

    def status_failure(self, error: grpc.RpcError, timeout_seconds: float) -> ClientError:
        """The exception for a failed GetModelStatus."""
        message, code = _message(error), _code(error)
        match code:
            case grpc.StatusCode.NOT_FOUND:
                return self.model_not_found(message, code.name)
            case grpc.StatusCode.UNAVAILABLE:
                return self._connection_failure(message) or self.not_connected(_cause(message))
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                return self.timed_out(timeout_seconds)
            case _:
                return self.unexpected(f"{code.name} to a status request", message, code.name)

    def _connection_failure(self, message: str) -> ClientError | None:
        """The exception for a call that got no answer; None if the server itself refused it."""
        cause = _cause(message)
        if _NO_GRPC.search(message):
            return self.no_grpc("it does not answer in HTTP/2")
        if _NO_SUCH_HOST.search(message):
            return self.unreachable(cause)
        if _NOT_CONNECTED.search(message):
            return self.not_connected(cause)
        if _LOST.search(message):
            return self.lost(cause)
        return None


def ended_at_once(error: grpc.RpcError) -> bool:
    """Whether the connection ended before a call, as it does where TLS is expected."""
    message = _message(error)
    return bool(_NOT_CONNECTED.search(message) and _ENDED_AT_ONCE.search(message))


def _code(error: Any) -> grpc.StatusCode:
    return error.code()


def _message(error: Any) -> str:
    return one_line(error.details() or "") or "no reason given"


def _cause(message: str) -> str:
    """The last part of gRPC's chain of causes, such as `Connection refused`."""
    return message.rpartition(": ")[2].strip("[] ").lower()
