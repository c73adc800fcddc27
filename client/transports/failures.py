"""The exceptions, with their messages, that every transport raises for a failed request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from client.errors import (
    ClientError,
    InputRefusedError,
    ModelNotFoundError,
    QueueFullError,
    RequestTimeoutError,
    UnexpectedAnswerError,
    UnreachableError,
    one_line,
)
from client.transports.endpoints import is_loopback
from client.transports.transport import ModelStatus, loading, not_ready


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

    def not_served(
        self,
        message: str,
        status: str,
        *,
        name_is_known: bool,
        model_status: Callable[[], ModelStatus],
    ) -> ClientError:
        """Find out whether a model is missing, loading or busy, which the response leaves open.

        name_is_known: the response implies that the server has a model of this name.
        """
        try:
            model = model_status()
        except ModelNotFoundError as error:
            # The name is known, but no version of the model has been found yet.
            if name_is_known:
                return loading(self.endpoint, self.model_name, status)
            return error
        except ClientError as error:
            return error
        problem = not_ready(self.endpoint, self.model_name, model, status)
        if problem is not None:
            return problem
        if name_is_known:
            return self.full(message, status)
        return self.model_not_found(message, status)

    def timed_out(self, timeout_seconds: float) -> ClientError:
        return RequestTimeoutError(
            f"no response from {self.endpoint} within {timeout_seconds:g} s: raise --timeout, or "
            "ask for fewer steps"
        )

    def not_connected_in_time(self) -> ClientError:
        return UnreachableError(f"connecting to {self.endpoint} timed out: {self._remedy()}")

    def unreachable(self, cause: str) -> ClientError:
        return UnreachableError(f"no response from {self.endpoint} ({cause}): {self._remedy()}")

    def _remedy(self) -> str:
        if is_loopback(self.endpoint):
            return "check the service with `make status`, or start it with `make up`"
        return (
            "check the service with `make status STACK=…`, start it with `make up STACK=…`, and "
            "check that the stack's allowedSourceRanges include your address"
        )
