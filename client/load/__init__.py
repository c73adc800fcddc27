"""The load test: its plan, its run, and its summary, plot, pictures and resource usage."""
