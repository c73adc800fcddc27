"""`python -m client`."""

import sys

from client.command_line.cli import main
from console import escape_unencodable

escape_unencodable()
sys.exit(main())
