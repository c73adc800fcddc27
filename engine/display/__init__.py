"""What an operation shows: lines, a table on a terminal, a diff, or JSON."""
