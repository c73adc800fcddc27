"""Output on a console that is not UTF-8: for every command line of this project."""

from __future__ import annotations

import io
import sys
from typing import cast


def escape_unencodable() -> None:
    """Print characters that the console's encoding lacks as escapes, instead of failing.

    Standard error does so from the start.
    """
    output = cast("io.TextIOWrapper[io.BufferedWriter] | None", sys.stdout)
    if output is not None:  # it is where the process was started with a closed one
        output.reconfigure(errors="backslashreplace")
