"""A stack of this project: its outputs, its cluster, and its local server process."""
