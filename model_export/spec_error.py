"""What is raised for a model that cannot be built as it is described."""

from __future__ import annotations

_SHOWN_CHARACTERS = 40


class SpecError(ValueError):
    """A model spec that cannot be built; `key` names the field at fault."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.reason = message


def short(value: object) -> str:
    """The value for a message, cut if it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        text = "that"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def require_one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SpecError(key, f"must be one of {', '.join(allowed)}, not {short(value)}")
