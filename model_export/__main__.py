"""`python -m model_export`: the command line, in `cli`."""

import sys

from console import escape_unencodable
from model_export.cli import main

escape_unencodable()
sys.exit(main())
