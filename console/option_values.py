"""Values of options that several command lines have."""

from __future__ import annotations

import argparse


def seconds(text: str) -> float:
    """More than none, and a day at most."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    # Written so that NaN, which compares false with everything, is refused too.
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to a day")
    return seconds
