"""`python -m client`: its options, progress display, and commands."""
