"""`python -m engine`: the command line of the embedded engine."""

import io
import os
import sys
from typing import cast

from engine.command_line.cli import main
from engine.errors import EXIT_ERROR

# None where the process was started with a closed one.
output = cast("io.TextIOWrapper[io.BufferedWriter] | None", sys.stdout)
if output is not None:
    # The console may not be UTF-8. Standard error escapes what it cannot encode from the start.
    output.reconfigure(errors="backslashreplace")
code = EXIT_ERROR
try:
    code = main()
    if output is not None:
        output.flush()
except OSError as error:
    # Without this, Python reports it again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, BrokenPipeError):  # the reader closed the pipe
        print(f"error: cannot write the output: {error.strerror}", file=sys.stderr)
        code = code or EXIT_ERROR
sys.exit(code)
