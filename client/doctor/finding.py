"""What one check of `doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check went."""

    OK = "ok"
    WAIT = "wait"
    """On its way: ask again in a moment."""
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """The question could not be asked."""


@dataclass(frozen=True)
class Finding:
    """One line for a person: what was checked, what is so, and what to do about it.

    lines: what a log said, word for word.
    """

    check: str
    state: State
    message: str
    lines: tuple[str, ...] = ()
