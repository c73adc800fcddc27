"""The web service: jobs, progress, and the APIs that people already use."""

VERSION = "1.0.0"
"""Of the service and its own API; its first number grows with a change that breaks callers."""
