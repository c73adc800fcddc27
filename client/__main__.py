"""`python -m client`."""

import io
import sys
from typing import cast

from client.command_line.cli import main

# File names contain words of the prompt: characters the terminal cannot encode are escaped.
cast("io.TextIOWrapper[io.BufferedWriter]", sys.stdout).reconfigure(errors="backslashreplace")
sys.exit(main())
