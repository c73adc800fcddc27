"""What keeps the process from starting."""

from __future__ import annotations


class StartError(Exception):
    """The process cannot start; the message says why in one line."""
