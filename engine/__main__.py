"""`python -m engine`: the command line of the embedded engine."""

import sys

from engine.cli import main

sys.exit(main())
