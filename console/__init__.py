"""Output on a console that is not UTF-8: for every command line of this project."""

from __future__ import annotations

import io
import sys
from typing import cast


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
