"""The load test: what it sends and when, its workers, and its figures, plot and pictures."""
