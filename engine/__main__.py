"""`python -m engine`: the command line of the embedded engine."""

import os
import sys

from engine.command_line.cli import main

code = main()
try:
    sys.stdout.flush()
except BrokenPipeError:
    # The reader of a pipe has gone; Python would complain once more at its exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
sys.exit(code)
