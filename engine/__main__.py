"""`python -m engine`: the command line of the embedded engine."""

import io
import os
import sys
from typing import cast

from engine.command_line.cli import main

# None where the process was started with a closed one.
output = cast("io.TextIOWrapper[io.BufferedWriter] | None", sys.stdout)
if output is not None:
    # The console may not be UTF-8. Standard error escapes what it cannot encode from the start.
    output.reconfigure(errors="backslashreplace")
code = main()
try:
    if output is not None:
        output.flush()
except BrokenPipeError:
    # The reader closed the pipe; without this, Python reports it again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
sys.exit(code)
