"""The exit codes of the command line."""

from __future__ import annotations

from client.errors import (
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
  2    the command line is wrong
  3    an input was refused, by the client or by the server; or a file cannot be used
  4    no service that can be used: not deployed, not running, another model, or not TF Serving
  5    the model is still loading
  6    the service is full
  7    the picture was not finished in time
  130  interrupted; the pictures finished so far stay
"""


def exit_code(error: ClientError) -> int:
    """The exit code for the branch of the tree that `error` hangs on."""
    return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
