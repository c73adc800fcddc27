"""`python -m web`: see `--help`."""

from __future__ import annotations

import sys

from console import run_command
from web.server import main

if __name__ == "__main__":
    run_command(lambda: main(sys.argv[1:]))
