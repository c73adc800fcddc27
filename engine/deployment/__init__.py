"""What an operation does: which steps, in which order, and their execution."""
