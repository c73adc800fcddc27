"""What one check of `doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The result of a check."""

    OK = "ok"
    WAIT = "wait"
    """In progress: check again in a moment."""
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """The check could not run."""


@dataclass(frozen=True)
class Finding:
    """One line for the user: what was checked, the result, and what to do.

    lines: log lines, quoted as they are.
    """

    check: str
    state: State
    message: str
    lines: tuple[str, ...] = ()
