"""`python -m engine`: the command line of the embedded engine."""

import os
import sys

from engine.command_line.cli import main

code = main()
try:
    sys.stdout.flush()
except BrokenPipeError:
    # The reader closed the pipe; without this, Python reports it again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
sys.exit(code)
