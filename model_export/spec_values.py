"""Checks of a spec's values: that each is of its type, and in its range."""

from __future__ import annotations

from typing import Any

from model_export.spec_error import SpecError, short

_MAX_NUMBER_DIGITS = 10


def typed(key: str, value: Any, kind: type) -> Any:
    """The value as kind: 4 and 4.0 describe the same model and must give one fingerprint."""
    if kind in (int, float):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or (kind is int and value % 1 != 0):
            words = "a whole number" if kind is int else "a number"
            raise SpecError(key, f"must be {words}, not {short(value)}")
        if abs(value) >= 10**_MAX_NUMBER_DIGITS:
            raise SpecError(key, "is out of range")
        return kind(value)
    if not isinstance(value, kind):
        words = "true or false" if kind is bool else "text"
        raise SpecError(key, f"must be {words}, not {short(value)}")
    if kind is str and value.encode(errors="ignore").decode() != value:
        raise SpecError(key, f"is not UTF-8 text: {short(value)}")
    return value


def require_in_range(key: str, value: float, most: float) -> None:
    # Written so that NaN, which compares false with everything, is refused too.
    if not 1.0 <= value <= most:
        raise SpecError(key, f"must be from 1 to {most:g}, not {value:g}")
