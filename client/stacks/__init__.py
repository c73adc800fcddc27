"""A stack of this project: its outputs, and where its service runs."""
