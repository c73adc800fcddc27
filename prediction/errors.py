"""What can go wrong between a caller and a model server.

Every message is one line for the user: what is wrong, where, what to do.
"""

from __future__ import annotations

from enum import Enum, auto

MAX_QUOTED_CHARACTERS = 300
_MAX_READ_CHARACTERS = 10 * MAX_QUOTED_CHARACTERS
"""Whoever wrote a foreign text may have written megabytes."""


class Repeat(Enum):
    """Whether the same request may be sent again after a failure."""

    NEVER = auto()
    """The next answer would be the same."""
    FREELY = auto()
    """Nothing was drawn: the server was full, loading, or not reached."""
    SPARINGLY = auto()
    """The connection was lost after the request had been sent. A model server does not notice, and
    goes on drawing: every repetition makes it do the work once more."""


class ClientError(Exception):
    """The base class of everything that the client raises on purpose.

    status: the server's HTTP status, such as "503", or gRPC code, such as "UNAVAILABLE"; empty if
    no server responded. repeat: whether the request may be sent again, and not before
    `retry_after_seconds` if the server set that. field: the wrong one of the request, if known.
    """

    def __init__(
        self,
        message: str,
        *,
        status: str = "",
        repeat: Repeat = Repeat.NEVER,
        retry_after_seconds: float = 0.0,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.repeat = repeat
        self.retry_after_seconds = retry_after_seconds
        self.field = field


class InputRefusedError(ClientError):
    """A value that the model does not accept, rejected here or by the server (HTTP 400)."""


class UnreachableError(ClientError):
    """No usable service: no connection, or one of the subclasses."""


class ModelNotFoundError(UnreachableError):
    """The server does not serve a model of this name."""


class UnexpectedAnswerError(UnreachableError):
    """The response is not one of TF Serving with this project's signatures."""


class ModelLoadingError(ClientError):
    """The server is up, but the model is not ready yet."""


class QueueFullError(ClientError):
    """The server's queue is full; the request was not run."""


class RequestTimeoutError(ClientError):
    """The picture was not finished within the client's or the server's time limit."""


def one_line(text: str) -> str:
    """Foreign text made fit to quote: one line, no control codes, limited length."""
    line = printable(" ".join(text[:_MAX_READ_CHARACTERS].split()))
    if len(line) > MAX_QUOTED_CHARACTERS or len(text) > _MAX_READ_CHARACTERS:
        return line[:MAX_QUOTED_CHARACTERS] + "…"
    return line


def printable(text: str) -> str:
    """`text` with control characters escaped, so that it is safe to print on a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
