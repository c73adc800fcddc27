"""The web service: jobs, progress, and the APIs that people already use."""
