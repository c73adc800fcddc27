"""The exit codes of the command line."""

from __future__ import annotations

from prediction.errors import (
    ClientError,
    InputRefusedError,
    ModelLoadingError,
    QueueFullError,
    RequestTimeoutError,
    UnreachableError,
)

EXIT_DONE = 0
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_CODES: dict[type[ClientError], int] = {
    InputRefusedError: 3,
    UnreachableError: 4,
    ModelLoadingError: 5,
    QueueFullError: 6,
    RequestTimeoutError: 7,
}

EXIT_CODES_HELP = """\
exit codes:
  0    done
  2    usage error
  3    an input was rejected by the client or the server, or a file cannot be read or written
  4    no usable service: not deployed, not running, another model, or no such service
  5    the model is still loading
  6    the server's queue is full
  7    timed out
  130  interrupted; finished pictures are kept
"""


def exit_code(error: ClientError) -> int:
    """The exit code of the error's class, or of its base class."""
    return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
