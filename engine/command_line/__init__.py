"""`python -m engine`: the CLI's commands and flags."""
