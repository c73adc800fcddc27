"""The server's log: one line per request and per change of state, to a file or stderr."""

from __future__ import annotations

import logging
import sys

from devserver.errors import StartError

_SHOWN_CHARACTERS = 200


def start(log_file: str) -> None:
    """Sends the log to `log_file`, or to stderr when it is empty.

    Raises:
        StartError: the file cannot be written.
    """
    try:
        handler = (
            logging.FileHandler(log_file, encoding="utf-8", errors="backslashreplace")
            if log_file
            else logging.StreamHandler(sys.stderr)
        )
    except OSError as error:
        raise StartError(f"--log_file: cannot write {log_file}: {error.strerror}") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("devserver")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def shown(text: str) -> str:
    """A client's text, escaped and shortened for one log line."""
    return text[:_SHOWN_CHARACTERS].encode("unicode_escape").decode("ascii")
