"""`python -m client`."""

from client.command_line.cli import main
from console import run_command

run_command(main)
