"""`python -m model_export`: the command line, in `cli`."""

import sys

from model_export.cli import main

sys.exit(main())
