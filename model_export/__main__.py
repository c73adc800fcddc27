"""`python -m model_export`: the command line, in `cli`."""

from console import run_command
from model_export.cli import main

run_command(main)
