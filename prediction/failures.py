"""The exceptions, with their messages, that every transport raises for a failed request."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from prediction.endpoints import (
    GRPC_EXAMPLE,
    REST_EXAMPLE,
    Protocol,
    is_grpc,
    is_loopback,
    with_scheme,
)
from prediction.errors import (
    ClientError,
    InputRefusedError,
    ModelLoadingError,
    ModelNotFoundError,
    QueueFullError,
    Repeat,
    RequestTimeoutError,
    UnexpectedAnswerError,
    UnreachableError,
    one_line,
)
from prediction.model_status import ModelStatus, loading, not_ready


class NotServedError(Exception):
    """The server did not run the request; only the model's status tells why.

    name_is_known: the response implies that the server has a model of this name.
    """

    def __init__(
        self, message: str, status: str, *, name_is_known: bool, retry_after_seconds: float = 0.0
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.name_is_known = name_is_known
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class Failures:
    """The exceptions for one model at one endpoint. `status` is a ClientError's."""

    endpoint: str
    model_name: str

    def refused(self, message: str, status: str) -> ClientError:
        return InputRefusedError(f"{self.endpoint} refused the request: {message}", status=status)

    def full(self, message: str, status: str) -> ClientError:
        return QueueFullError(
            f"{self.endpoint} is full ({message}): try again in a moment", status=status
        )

    def given_up(self, message: str, status: str) -> ClientError:
        return RequestTimeoutError(
            f"{self.endpoint} timed out ({message}): "
            "ask for fewer steps, or raise the server's request timeout",
            status=status,
        )

    def model_not_found(self, message: str, status: str) -> ClientError:
        return ModelNotFoundError(
            f"{self.endpoint} serves no model {one_line(repr(self.model_name))} ({message}): "
            "check --model-name",
            status=status,
        )

    def unexpected(self, what: str, message: str, status: str = "") -> ClientError:
        return UnexpectedAnswerError(
            f"{self.endpoint} answered with {what} ({message}): "
            "check that TF Serving with this project's model listens there",
            status=status,
        )

    def too_long(self, limit_bytes: int) -> ClientError:
        return UnexpectedAnswerError(
            f"{self.endpoint} sent more than {limit_bytes} bytes: check that it is TF Serving"
        )

    def explained(self, refusal: NotServedError, found: ModelStatus | ClientError) -> ClientError:
        """Whether the model is missing, loading or busy. found: what asking for its status gave."""
        error = self._explained(refusal, found)
        # A gateway whose servers are all gone refuses the status request as well.
        is_for_now = isinstance(error, QueueFullError) or isinstance(found, ClientError)
        if isinstance(error, ModelLoadingError) or (refusal.name_is_known and is_for_now):
            error.repeat = Repeat.FREELY
            error.retry_after_seconds = refusal.retry_after_seconds
        return error

    def _explained(self, refusal: NotServedError, found: ModelStatus | ClientError) -> ClientError:
        if isinstance(found, ModelNotFoundError) and refusal.name_is_known:
            # The name is known, but no version of the model has been found yet.
            return loading(self.endpoint, self.model_name, refusal.status)
        if isinstance(found, ClientError):
            return found
        problem = not_ready(self.endpoint, self.model_name, found, refusal.status)
        if problem is not None:
            return problem
        if refusal.name_is_known:
            return self.full(refusal.message, refusal.status)
        return self.model_not_found(refusal.message, refusal.status)

    def timed_out(self, timeout_seconds: float) -> ClientError:
        # Rounded: what is left of a time limit is a little less than was given.
        return RequestTimeoutError(
            f"no response from {self.endpoint} within {max(round(timeout_seconds, 1), 0.1):g} s: "
            "raise --timeout, or ask for fewer steps"
        )

    def not_connected_in_time(self) -> ClientError:
        return UnreachableError(
            f"connecting to {self.endpoint} timed out: {self._remedy()}", repeat=Repeat.FREELY
        )

    def not_connected(self, cause: str) -> ClientError:
        """Nothing accepts connections there at present."""
        return self.unreachable(cause, Repeat.FREELY)

    def lost(self, cause: str, status: str = "") -> ClientError:
        """The connection ended after the request had been sent, and before its answer."""
        return self.unreachable(cause, Repeat.SPARINGLY, status)

    def unreachable(
        self, cause: str, repeat: Repeat = Repeat.NEVER, status: str = ""
    ) -> ClientError:
        return UnreachableError(
            f"no response from {self.endpoint} ({cause}): {self._remedy()}",
            status=status,
            repeat=repeat,
        )

    def speaks_grpc(self) -> ClientError:
        return UnexpectedAnswerError(
            f"{self.endpoint} is a gRPC port: use {with_scheme(self.endpoint, Protocol.GRPC)}, "
            f"or give the REST port, as in {REST_EXAMPLE}"
        )

    def no_grpc(self, cause: str) -> ClientError:
        return UnexpectedAnswerError(
            f"{self.endpoint} is no gRPC port ({cause}): if it is the REST port, use "
            f"{with_scheme(self.endpoint, Protocol.REST)}; else give the gRPC port, as in "
            f"{GRPC_EXAMPLE}"
        )

    def no_http(self, greeting: str) -> ClientError:
        return UnexpectedAnswerError(
            f"{self.endpoint} does not speak HTTP (it says {one_line(repr(greeting))}): give the "
            f"address of TF Serving's REST port, as in {REST_EXAMPLE}"
        )

    def speaks_tls(self) -> ClientError:
        secure = with_scheme(self.endpoint, Protocol.REST, secure=True)
        if is_grpc(self.endpoint):
            return UnexpectedAnswerError(
                f"{self.endpoint} speaks TLS, which this client does not use for gRPC: give the "
                f"port without TLS, or use REST, as in {secure}"
            )
        return UnexpectedAnswerError(f"{self.endpoint} speaks TLS: use {secure}")

    def speaks_no_tls(self) -> ClientError:
        plain = with_scheme(self.endpoint, Protocol.REST)
        return UnexpectedAnswerError(f"{self.endpoint} does not speak TLS: use {plain}")

    def not_trusted(self, cause: str) -> ClientError:
        return UnreachableError(
            f"the certificate of {self.endpoint} is not trusted ({cause}): check the address, or "
            "name its authority's file in REQUESTS_CA_BUNDLE"
        )

    def closed(self) -> ClientError:
        return UnreachableError(f"the client of {self.endpoint} is closed")

    def _remedy(self) -> str:
        if is_loopback(self.endpoint):
            return "check the service with `make status`, or start it with `make up`"
        return (
            "check the service with `make status STACK=…`, start it with `make up STACK=…`, and "
            "check that the stack's allowedSourceRanges include your address"
        )


def causes_of(error: BaseException) -> list[BaseException]:
    """The exceptions that libraries have wrapped in each other, outermost first."""
    causes = [error]
    while True:
        last = causes[-1]
        if isinstance(last, BaseExceptionGroup):  # one for each of a host's addresses
            cause = cast("BaseExceptionGroup[BaseException]", last).exceptions[-1]
        else:
            cause = last.__cause__ or last.__context__
        if cause is None or cause in causes:
            return causes
        causes.append(cause)


def reason_in(causes: Sequence[BaseException]) -> str:
    """The operating system's error message."""
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.strerror:
            # asyncio writes its own text beside the number.
            is_system = not isinstance(cause, ssl.SSLError | socket.gaierror) and cause.errno
            return one_line((os.strerror(is_system) if is_system else cause.strerror).lower())
    return "the connection was lost"
