"""The key that the web service may ask for, from the environment."""

from __future__ import annotations

import os
import re

from prediction.errors import InputRefusedError

VARIABLE = "DIFFUSION_API_KEY"

_VISIBLE = re.compile(r"[!-~]*")


def api_key() -> str:
    """Empty if there is none. Raises InputRefusedError if no key can be like that."""
    key = os.environ.get(VARIABLE, "").strip()
    if not _VISIBLE.fullmatch(key):
        raise InputRefusedError(
            f"{VARIABLE} has a space or another character that no key has: set it to the key alone"
        )
    return key
