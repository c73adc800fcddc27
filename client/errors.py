"""What can go wrong between a prompt and its picture, as one small tree of exceptions.

Every message is one line for a person: what is wrong, where, what to do.
"""

from __future__ import annotations

MAX_QUOTED_CHARACTERS = 300


class ClientError(Exception):
    """The root: catch this to catch everything that the client raises on purpose.

    status: with what the server refused, an HTTP status such as "503" or a gRPC code such as
    "UNAVAILABLE"; empty where no server answered.
    """

    def __init__(self, message: str, *, status: str = "") -> None:
        super().__init__(message)
        self.status = status


class InputRefusedError(ClientError):
    """A value outside what the model accepts, found here or by the server (HTTP 400)."""


class PictureFileError(InputRefusedError):
    """A file or folder of pictures that cannot be read, or cannot be written to."""


class UnreachableError(ClientError):
    """No service that can be used: no connection, or none of what follows."""


class StackOutputError(UnreachableError):
    """The stack has no outputs to find the service by, or they could not be read."""


class ModelNotFoundError(UnreachableError):
    """A server answers, and does not serve a model of this name."""


class UnexpectedAnswerError(UnreachableError):
    """Something answers, and not as TF Serving with this project's signatures does."""


class ModelLoadingError(ClientError):
    """The server is up and the model is not ready yet."""


class QueueFullError(ClientError):
    """The server's queue has no room; the request was not run."""


class RequestTimeoutError(ClientError):
    """The picture was not finished within the client's or the server's time limit."""


def one_line(text: str) -> str:
    """`text` from elsewhere, fit to quote: one line, no control codes, not too long."""
    line = printable(" ".join(text.split()))
    if len(line) > MAX_QUOTED_CHARACTERS:
        return line[:MAX_QUOTED_CHARACTERS] + "…"
    return line


def printable(text: str) -> str:
    """`text` with what could steer a terminal written as escapes, so that it is safe to show."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
