"""Standard output of every command line of this project, on any console."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import NoReturn, cast

_OUTPUT_CLOSED = 130
"""The exit code where a reader has closed the pipe, as in `… | head -1`."""


def run_command(main: Callable[[], int]) -> NoReturn:
    """Run a command line and exit with its code. Output that cannot be written is one line."""
    escape_unencodable()
    code = 0
    try:
        code = main()
        _flush()
    except BrokenPipeError:
        _discard_output()
        code = code or _OUTPUT_CLOSED
    except OSError as error:
        if error.filename is not None:  # a write to standard output has no file's name
            raise
        _discard_output()
        print(f"error: cannot write the output: {error.strerror}", file=sys.stderr)
        code = code or 1
    sys.exit(code)


def escape_unencodable() -> None:
    """Print characters that the console's encoding lacks as escapes, instead of failing.

    Standard error does so from the start.
    """
    output: object = sys.stdout
    if isinstance(output, io.TextIOWrapper):  # None if the process was started with a closed one
        cast("io.TextIOWrapper[io.BufferedWriter]", output).reconfigure(errors="backslashreplace")


def say(line: object) -> None:
    """Print a line at once, in a process that may be another program's, such as a provider."""
    escape_unencodable()
    print(line, flush=True)


def _flush() -> None:
    output: object = sys.stdout
    if output is not None:
        sys.stdout.flush()


def _discard_output() -> None:
    """Send what is still in the buffer nowhere: Python would complain of it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
