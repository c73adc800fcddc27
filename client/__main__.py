"""`python -m client`."""

import io
import sys
from typing import cast

from client.command_line.cli import main

# File names hold the prompt's words: where the terminal lacks a letter, its code is shown.
cast("io.TextIOWrapper[io.BufferedWriter]", sys.stdout).reconfigure(errors="backslashreplace")
sys.exit(main())
